"""What every room may use, and what knows nothing of networks: errors, names, files, locks, this machine.

- `errors`: the errors that users see as one line.
- `defaults`: the values of options that nobody sets.
- `registry`: data sets, runtimes and algorithms by name, through entry points.
- `files`: files that are replaced in one step, a check of where a file may be written, the folders that users edit.
- `scratch`: a temporary folder for the processes of one search, removed even after a crash.
- `lock`: one latency measurement at a time, and no training while it runs.
- `machine`: the processor, its cores and memory, and the installed versions.
- `device`: the CPU or the GPU, for trainings.
- `memory`: freed memory that is kept for the next training step.
- `ray_connection`: start or join a Ray cluster.
- `seeding`: torch generators from numpy's seeds.
- `quiet`: silence for libraries that print too much.

Only `seeding` imports torch, and `device` does where a GPU may be present.
"""
