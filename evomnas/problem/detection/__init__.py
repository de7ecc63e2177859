"""SSDLite detectors on architectures, as values and closed forms, and problems of them. No module imports torch.

- `plan`: the feature maps of a detector, where the backbone is tapped, and the extra layers.
- `anchors`: the boxes that a detector's answers are relative to.
- `counting`: parameters and MACs of a detector in closed form.
- `definition`: the checked file of a problem whose networks find things in images.
"""
