"""The question that a search answers, without torch.

- `architecture`: what a network is; `published`: those of the papers.
- `candidate`: a network of whatever kind of problem.
- `search_space`: which networks can be searched; `tabular_space`: those of a table.
- `table`: published tables of networks.
- `counting`: parameters and MACs in closed form.
- `pareto`: fronts, hypervolume, knees.
- `target`: the device that an address names.
- `sections`: the keys of a problem file; `definition`: a checked file, by kind of problem.
- `loading`: from TOML and overrides to a definition.
"""
