"""Networks that inherit the weights of others of their run.

- `lineage`: who inherits from whom, and the weights that may be inherited
"""
