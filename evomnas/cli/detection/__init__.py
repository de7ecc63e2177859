"""Commands for detectors of objects.

- `detect`: trained networks of a run as the backbones of detectors.
- `shipped`: exports of detectors, their baselines, and what they find in pictures, as the other commands print them.
"""
