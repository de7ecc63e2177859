"""This machine and its operating system.

- `optional`: what only some systems have, such as limits and signals; None where it is missing.
- `machine`: the processor, its cores and memory, and the installed versions.
- `container`: what control groups allow, where this machine is a container.
- `device`: the CPU or the GPU, for trainings.
- `memory`: this process's limit of memory, and freed memory that is kept for the next training step.
- `file_lock`: locks on files, between processes.
- `lock`: one latency measurement at a time, and no training while it runs.
- `scratch`: a temporary folder for the processes of one search, removed even after a crash.
- `shell`: command lines as they are typed here.
- `processes`: how worker processes start, whether a process lives, what interrupts it.
- `start_methods`: worker processes that import nothing of the program that starts them.
- `time_limit`: what takes too long is ended, with its process or by an exception.

No other room uses anything that some systems lack.

Only `device` imports torch, where a GPU may be present.
"""
