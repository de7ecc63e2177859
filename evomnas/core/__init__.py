"""What every room may use, and what knows nothing of networks: errors, names, files, this machine.

- `errors`: the errors that users see as one line.
- `arguments`: a check of a function's arguments by its annotations.
- `defaults`: the values of options that nobody sets.
- `registry`: data sets, runtimes and algorithms by name, through entry points.
- `requirements`: the packages that this one needs, compared with those that are installed.
- `files`: files that are replaced in one step, a check of where a file may be written, the folders that users edit.
- `remedies`: what helps where the operating system refuses something.
- `numbers/`: arrays in files, and how alike two columns rank.
- `system/`: this machine and its operating system: cores, memory, the lock for measurements, a temporary folder.
- `ray_connection`: start or join a Ray cluster.
- `showing/`: how results look, whatever they are about.
- `resolution`: the size of images, which need not be square.
- `seeding`: torch generators from numpy's seeds.
- `quiet`: silence for libraries that print too much.

Only `seeding` imports torch, and `system/` does where a GPU may be present.
"""
