"""Searches in the tools that people follow their experiments with: `--track NAME`.

A tracker is a callback that is made without arguments, registered in the entry-point group `evomnas.trackers`.

- `opening`: trackers by name.
- `numbers`: what is tracked of each network.
- `tensorboard_log`: TensorBoard.
- `mlflow_runs`: MLflow.
"""
