"""The question that a search answers: which networks there are, and what is asked of them. No module imports torch.

- `architecture`: a network of MnasNet's space as an immutable value, and its one-line notation.
- `published`: the networks of the MnasNet and MobileNetV2 papers, and the EfficientNet-Lites, as architectures.
- `candidate`: a network that a search can ask for, whatever the kind of problem.
- `search_space`: MnasNet's search space.
- `genes/`: the genes of a space, and the interface that every search space has.
- `table`: published tables of networks, read from a file.
- `tabular_space`: the search space of a table.
- `ops/`: what layers compute: the operations, those of other packages as well.
- `counting`: parameters and MACs of an architecture in closed form.
- `pareto`: Pareto fronts, hypervolume, knees and attainment.
- `target`: names of devices, such as `local` or `ssh://...`.
- `sections`: the sections of a problem file and their keys.
- `definition`: a checked problem file, one class per kind of problem.
- `loading`: from TOML and overrides to a definition.
- `detection/`: SSDLite detectors: their construction, anchors and sizes.
- `objectives/`: objectives beside error and latency.
- `memory/`: the peak memory of a network's activations in closed form.
- `pretrained/`: what pretrained networks bring along.
- `sampling/`: networks drawn at random, and how many there are.
- `typed/`: what people type for a problem and for its settings.
"""
