"""Measured latency: what runs a network, where, and how it is timed.

- `runtimes`: the interface of a runtime; `onnxruntime` (the default, with `onnx_graph`), `executorch`, `eager`.
- `targets`: this machine, or another through OpenSSH, where `agent` runs.
- `protocol`: rounds interleaved with a reference network.
- `lock`: one latency at a time, and no training meanwhile.
"""
