"""SSDLite detectors on architectures, as values and closed forms. No module imports torch.

- `plan`: the feature maps of a detector, where the backbone is tapped, and the extra layers.
- `anchors`: the boxes that a detector's answers are relative to.
- `counting`: parameters and MACs of a detector in closed form.
"""
