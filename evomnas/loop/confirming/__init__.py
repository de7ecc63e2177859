"""The last share of a budget: second trainings where they may change the front.

- `second_trainings`: which networks are trained once more, and their trainings.
"""
