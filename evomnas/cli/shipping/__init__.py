"""Files of trained networks.

- `export`: export.
"""
