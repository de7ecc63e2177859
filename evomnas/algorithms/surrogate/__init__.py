"""NSGA-II on what predictors learnt, and true evaluations that decide.

- `nsga2_surrogate`: the algorithm.
- `experience`: what it was told.
- `features`: networks as numbers; `predictors`: what they learn.
- `acquisition`: expected gain of hypervolume.
- `first_batch`, `proposals`: what is asked first, and after that.
"""
