"""The memory that a network takes while it runs.

- `peak`: the peak of its activations in closed form.
"""
