"""How sure a run's front is.

- `judged`: the chance of each network to be on the front, and the score that is expected of it.
"""
