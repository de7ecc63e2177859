"""Boxes around the things in pictures, as three formats keep them, and what becomes of them in a network's input.

- `boxes`: boxes of images, one image after the other.
- `targets`: boxes with the sizes of their pictures, carried to a network's input and back.
- `detections`: what a network finds in images.
- `annotated`: pictures with boxes as a file describes them, and the faults of such files.
- `coco_json`: COCO's JSON.
- `voc_xml`: Pascal VOC's XML.
- `yolo_text`: YOLO's texts and the names of their classes.
- `picture_index`: the picture that an annotation means, and lists of a split's pictures.
- `headers`: sizes and orientations of pictures, without reading their pixels.
- `checking`: boxes that are right, and what is wrong with the others.
- `listing`: from a folder or file to pictures with boxes, whichever format is there.
"""
