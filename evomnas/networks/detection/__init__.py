"""SSDLite detectors as torch modules.

- `features`: a network of the space as a backbone, and the extra layers behind it.
- `heads`: the two heads on every feature map.
- `detector`: builds the detector of an architecture, or on a network that is trained.
- `boxes`: boxes in the code in which they are learnt, and back.
- `object_detector`: a trained detector as it ships, from pixels to boxes and scores.
- `suppression`: one box is left for each object.
- `costs`: parameters and MACs of a built detector, layer by layer.
"""
