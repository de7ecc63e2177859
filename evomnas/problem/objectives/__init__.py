"""Objectives beside error and latency.

- `further`: what they are, and their values in closed form.
"""
