"""How short the trainings of a search may be: measured by a pilot, not guessed.

- `ranking`: how well shorter trainings rank networks, with what chance tells of it.
- `pilot`: networks trained for different numbers of epochs, and what to do.
"""
