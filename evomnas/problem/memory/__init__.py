"""The memory of a network in closed form.

- `peak`: the peak of its activations.
- `file_size`: the size of its file.
"""
