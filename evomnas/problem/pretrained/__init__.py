"""Pretrained networks, and how a search starts from one.

- `traits`: the choices of a published network that change what it computes: activation, padding, place of the head,
  batch norm's epsilon.
- `donors`: networks with pretrained weights, and where these come from.
- `files`: files of weights on this machine, found and checked.
- `heritage`: which networks can inherit all of their weights from a donor.
- `ancestor`: a trained network from which others inherit, as it travels.
- `space`: the preset search space around a donor.
- `preset`: what a problem with a donor has by default.
- `baselines`: the networks that one would fine-tune instead of searching.
"""
