"""In which processes candidates are prepared and trained.

- `jobs`: what is to be done with a network, as values that travel to a worker.
- `base`: the interface of an executor, and what its kinds share.
- `worker`: what one process needs to do jobs.
- `image_files`: the images in files, for the processes that work.
- `ray_images`: prepared images on the nodes of a cluster.
- `in_process`, `pool`, `ray_cluster`: this process, worker processes, a Ray cluster.
- `crew`: worker processes that are replaced when they die, whatever they do.
- `server`: what the process imports from which workers are forked.
- `deaths`: whose fault it is that workers died.
- `factory`: the executor of so many workers.
"""
