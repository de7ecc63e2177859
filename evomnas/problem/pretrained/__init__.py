"""What pretrained networks bring along.

- `traits`: the choices of a published network that change what it computes: activation, padding, batch norm's epsilon.
- `donors`: networks with pretrained weights, and where these come from.
- `files`: files of weights on this machine, found and checked.
- `space`: the preset search space around a donor.
"""
