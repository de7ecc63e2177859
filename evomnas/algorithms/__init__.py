"""Search algorithms: they ask for networks, are told the results, and ask again. They know problem/ and core/ alone.

- `base`: what an algorithm must offer and may offer, and algorithms made by name.
- `goals`: the paper's weighted product and its hard formulation, for searches that want a single network.
- `operators`: pymoo's operators for the genomes of a space: sampling, crossover, mutation, removal of duplicates.
- `suitability`: which of pymoo's algorithms can search networks.
- `mating`: NSGA-II's mating on whole arrays, which is faster than pymoo's.
- `nsga2`: NSGA-II, for the whole Pareto set.
- `many_objectives/`: NSGA-III, for three objectives and more.
- `surrogate/`: NSGA-II on predictions, which needs fewer evaluations for the Pareto set. It is the default.
- `rl_weighted`: the paper's own search, by reinforcement learning.
- `policy/`: what this search shares with MONAS and RENA, and those two.
- `rnn_controller`: the RNN that these searches train. Only they import torch here.
- `evolution`: aging evolution towards one network.
- `lemonade`: LEMONADE's search, without inheritance: a Pareto population and the density of cheap objectives.
- `progressive/`: DPP-Net's search, in which networks grow block by block.
- `weighing`: how many costs of candidates are worth knowing before a batch is chosen.
- `random_search`: random search, the baseline that all others must beat.
"""
