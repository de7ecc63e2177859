"""Default values of the command line and the library. The module imports nothing, so that `--help` is quick."""

ALGORITHM = "nsga2-surrogate"  # docs/search-quality.md has the searches on which it was chosen
BUDGET = 64  # networks that a search evaluates
SEEDS = 6  # runs per algorithm in a benchmark: with so many, five algorithms can be told apart from chance
