"""Searches that train the RNN controller by a policy gradient. They differ in the reward and in the gradient.

- `search`: what they share: turns of several goals, minibatches, and what they do when the controller repeats itself.
- `monas`: MONAS, with its mixed reward and its constrained one.
- `rena`: RENA, with limits on several resources at once.
- `resources`: RENA's reward: accuracy times a penalty for every limit that is exceeded.
"""
