"""NSGA-II on predictions: predictors learn from all evaluations, and true evaluations decide.

- `nsga2_surrogate`: the algorithm.
- `experience`: results and costs of networks, and predictions from them.
- `features`: networks as numbers that predictors can learn from.
- `predictors`: a Gaussian process, a quadratic ridge regression, and their blend.
- `relatives`: what networks would reach elsewhere, as a feature of what they reach here.
- `first_batch`: the networks to evaluate before anything can be predicted.
- `proposals`: candidates that NSGA-II finds on the predictions.
- `acquisition`: the choice of a batch of candidates by their expected gain of hypervolume.
- `layers`: the same for three objectives or more.
- `certainty`: how sure a front is, where scores are noisy.
"""
