"""Trainings for int8.

- `fake_quantization`: a network that computes in float what its int8 file will compute.
"""
