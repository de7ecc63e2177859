"""Images that may be trained on.

- `datasets`: the built-in data sets, and how images become training and validation splits.
"""
