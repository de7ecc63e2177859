"""The score of the boxes that a network finds in images.

- `score`: average precisions, their intervals, and what they are made of.
- `precision`: COCO's average precision of detections, by faster-coco-eval.
"""
