"""Nothing about networks: errors, names, files, and the machine that everything runs on.

- `errors`: wrong input in one line.
- `defaults`: the values of options that nobody gave.
- `registry`: data sets, runtimes and algorithms by name, through entry points.
- `files`: files that are replaced in one step.
- `scratch`: a folder that processes share and that never stays behind.
- `lock`: nothing trains while a latency is taken.
- `machine`, `device`, `memory`: what this machine is, CPU or GPU, what happens to freed memory.
- `ray_connection`: start or join a Ray cluster.
- `seeding`: torch generators from numpy's seeds.
- `quiet`: libraries that print too much.
"""
