"""Pictures that are decoded once and mapped from a file ever after.

- `source`: what pictures come from, and files of their own as such a source.
- `pictures`: from a source to pixels, in memory or on the disk. Every source goes through it.
- `chunks`: what each worker process reads and writes of a set.
- `cache`: the folder of prepared sets, their keys, and how one is opened.
- `copies`: copies of sets on other machines.
- `places`: only one process writes to a set, and the disk has room for it.
- `disk`: room on the disk for large files.
- `notes`: fingerprints of prepared images, kept beside them.
- `notices`: who waits for a preparation is told of it.
"""
