"""Commands for detectors of objects.

- `detect`: trained networks of a run as the backbones of detectors.
"""
