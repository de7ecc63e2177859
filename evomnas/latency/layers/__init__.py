"""Latencies of networks as sums of measured layers.

- `stages`: the parts of a network, described before it is built.
- `surroundings`: the layers around a part while it is timed alone.
- `prepare_layers`: converts parts for a runtime.
- `table`: the latencies of all parts, and the sums for networks.
"""
