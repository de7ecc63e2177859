"""Those who are told what a search does.

- `base`: what they are told.
- `audience`: all of them together; one that fails does not end the search.
"""
