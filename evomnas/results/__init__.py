"""The answers, and where they are kept.

- `evaluation`: one architecture's results: cost, training, measurement, or failure.
- `timing`: a latency relative to the reference network, as a device reports it.
- `constraints`: a problem's limits, applied to an evaluation.
- `schema`, `archive`: all evaluations of all runs in one SQLite file.
- `run`: a run's folder and its part of the archive.
- `full_trainings`: networks that were trained in full.
"""
