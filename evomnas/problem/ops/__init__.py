"""Operations: what the layers of a block compute, described so that costs, modules, files and drawings follow from it.

- `base`: what an operation must say: its convolutions, in order, for a layer of any shape.
- `builtin`: the operations of this package.
- `grouped`: those of them that divide channels into groups or branches.
- `catalogue`: operations by name, those of other packages as well, and the check of what these say.
"""
