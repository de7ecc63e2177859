"""How sure a run's front is.

- `confirmed`: networks that were trained once more, and the mean of their trainings.
- `judged`: the chance of each network to be on the front, and the score that is expected of it.
"""
