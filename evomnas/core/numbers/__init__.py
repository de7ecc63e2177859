"""Arrays of numbers.

- `npz_headers`: the shapes and types of the arrays in an npz file.
- `ranks`: how alike two columns rank.
"""
