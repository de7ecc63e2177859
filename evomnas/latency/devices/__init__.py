"""Where a network is timed.

- `protocol`: rounds of bursts between bursts of the reference network.
- `local`: this machine.
- `agent`, `remote`, `ssh`, `ray_nodes`: other machines.
- `factory`: the device of a target.
"""
