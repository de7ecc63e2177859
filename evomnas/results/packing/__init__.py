"""Runs that travel: one file or folder with all that is needed of a run, and its way back.

- `content`: the names within a packed run.
- `pack`: write one.
- `moved`: which run is meant, and where its archive is now.
- `unpack`: open one, which may come from anybody.
"""
