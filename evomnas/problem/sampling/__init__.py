"""Networks of a space drawn at random, and how many there are to draw from.

- `distinct`: the distinct networks of a space: how many, of which blocks, and a draw in which each has the same chance.
- `hypercube`: genomes that use every gene's choices equally often.
"""
