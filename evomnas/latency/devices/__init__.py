"""The machines on which networks are timed.

- `protocol`: how a network is timed, in rounds of bursts between bursts of a reference network.
- `local`: the interface of a device, and this machine as a device.
- `remote`: what all other machines have in common: a lost connection is tried again.
- `ssh`, `agent`: a machine that OpenSSH reaches, and the program that runs there.
- `android`: a phone that adb reaches.
- `ray_nodes`: nodes of a Ray cluster.
- `factory`: opens the device that a target names.
"""
