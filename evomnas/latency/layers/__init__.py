"""Latencies added up from measured layers.

- `stages`: the parts of a network.
- `surroundings`: what surrounds a part while it is timed by itself.
- `prepare_layers`: parts that a runtime can run.
- `table`: the measured parts, and their sums.
"""
