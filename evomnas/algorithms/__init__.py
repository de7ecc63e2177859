"""Ask and tell: what proposes networks, and learns from what came of them.

- `base`: the protocols that an algorithm keeps, and algorithms by name.
- `goals`: the paper's weighted product and its hard formulation.
- `operators`, `mating`: pymoo's operators for a space's genomes.
- `nsga2`: NSGA-II; `surrogate/`: NSGA-II on predictions.
- `rl_weighted`, `rnn_controller`: the paper's own search.
- `evolution`, `random_search`: aging evolution, and what keeps all of them honest.
"""
