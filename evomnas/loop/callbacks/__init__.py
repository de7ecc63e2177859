"""Those who are told what a search does.

- `base`: what they are told.
- `notebook_bar`: the progress in a notebook.
- `audience`: all of them together; one that fails does not end the search.
"""
