"""What people read about how sure a front is.

- `certainty_words`: sentences on it.
"""
