"""Boxes that networks find in images, in a run's report.

- `found_boxes`: average precisions by class and size, and found boxes drawn on pictures.
"""
