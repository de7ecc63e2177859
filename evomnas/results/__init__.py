"""The answers, and where they are kept.

- `evaluation`: one network's results: cost, training, measurement, or failure.
- `answers/`: the classes that a network gives to labelled images, and the scores that follow from them.
- `detection/`: the score of the boxes that a network finds in images.
- `timing`: a latency relative to the reference network, as a device reports it.
- `candidate_limits`: how much time and memory a candidate may take.
- `constraints`: the limits of a problem.
- `records`: the settings of a run, and what its algorithm asked and was told.
- `archive`: all evaluations of all runs in one SQLite file; `database/`: that file and its tables.
- `readers`: what the archive has of a problem's networks, by kind of problem.
- `lessons`: what an archive knows of a space's networks, for another search to learn from.
- `manifest`: the content of run.json; `run`: a run's folder and its part of the archive.
- `overview`: many runs at a glance.
- `full_trainings`: networks that were trained in full.
- `showing/`: a run as people see it in a notebook, and its rows as CSV.
- `certainty/`: how sure a run's front is.
- `packing/`: runs that travel, as one file.
"""
