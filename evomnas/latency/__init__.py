"""Measured latency: what runs the network (runtimes) and how it is timed (protocol).

- `runtimes`: the interface of a runtime, and how a network is made ready for it and checked.
- `onnxruntime`: ONNX Runtime on this machine's CPU, the default.
- `protocol`: rounds interleaved with a reference network.
"""
