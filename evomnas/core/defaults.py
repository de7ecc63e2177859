"""What the command and the library do where nobody says otherwise. Nothing is imported, so that --help is quick."""

ALGORITHM = "nsga2-surrogate"  # docs/algorithms.md has the searches that it was chosen by
BUDGET = 64  # networks
SEEDS = 6  # of a benchmark: so many runs of five algorithms can be told from chance
