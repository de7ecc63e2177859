"""What people read about how sure a front is.

- `certainty_words`: a sentence on it.
"""
