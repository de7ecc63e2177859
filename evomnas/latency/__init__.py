"""Measured latency: which runtime runs a network, on which device, and how it is timed.

- `setting`: the settings on which a latency depends beside the network.
- `prepare`: networks with random weights in a runtime's own format.
- `machine_archive`: the calibrations and layer tables of this machine.
- `onnx_file`: ONNX files of any origin, to be measured.
- `meter`: latencies on one device, all on the scale of one calibration.
- `runtimes/`: the interface of a runtime, and the built-in ones.
- `quantization/`: int8 files in place of float ones, and networks that are scored as such.
- `devices/`: this machine, a machine that OpenSSH reaches, or a node of a Ray cluster.
- `layers/`: latencies added up from measured layers.
- `doctor`: a check of whether this machine is fit to search and to measure.

At most one latency is measured on a machine at a time, and no training of evomnas runs meanwhile
(`evomnas.core.system.lock`).
"""
