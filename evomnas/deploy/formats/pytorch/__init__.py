"""Files for PyTorch without evomnas.

- `python_module`: a network as one Python file.
- `exported_program`: a network as a file of `torch.export`.
- `names`: the names of the formats and their files, without torch.
- `catalogue`: the formats by name, and how a file is run.
"""
