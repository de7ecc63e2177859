"""What people type for a problem.

- `paths`: the name of a built-in problem, a problem file, or images of their own.
- `suiting`: settings that suit images of their own, by their number and size.
- `settings`: single values, as in `training.epochs=8`.
- `stated`: faults of values, in one line.
"""
