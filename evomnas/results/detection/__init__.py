"""The score of the boxes that a network finds in images.

- `score`: average precisions, their intervals, and what they are made of.
- `findings`: a score and some of the found boxes, as the archive keeps them.
- `precision`: COCO's average precision of detections, by faster-coco-eval.
"""
