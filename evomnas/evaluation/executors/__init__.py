"""In which processes candidates are prepared and trained.

- `base`: what an executor is, and what a candidate may take.
- `worker`: what one process needs for it.
- `in_process`, `pool`, `ray_cluster`: this process, worker processes, a Ray cluster.
- `factory`: the executor of so many workers.
"""
