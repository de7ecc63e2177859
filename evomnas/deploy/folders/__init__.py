"""The folders of a run's trained networks, whose names say how they were trained.

- `training_folders`: the folder of a training, and the one training of a network that somebody means.
"""
