"""This machine and its operating system.

- `machine`: the processor, its cores and memory, and the installed versions.
- `container`: what control groups allow, where this machine is a container.
- `device`: the CPU or the GPU, for trainings.
- `memory`: freed memory that is kept for the next training step.
- `lock`: one latency measurement at a time, and no training while it runs.
- `scratch`: a temporary folder for the processes of one search, removed even after a crash.

Only `device` imports torch, where a GPU may be present.
"""
