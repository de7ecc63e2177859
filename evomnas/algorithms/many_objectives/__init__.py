"""Algorithms for three objectives and more.

- `nsga3`: NSGA-III, which spreads over directions.
"""
