"""Default values of the command line and the library. The module imports nothing, so that `--help` is quick."""

PROBLEM = "digits"
RUNS = "runs"  # the folder of runs, unless another place is named
ALGORITHM = "nsga2-surrogate"  # docs/search-quality.md has the searches on which it was chosen
BUDGET = 64  # networks that a search evaluates
SEEDS = 6  # runs per algorithm in a benchmark: with so many, five algorithms can be told apart from chance

# The options of algorithms that have a flag of their own, such as `--target-ms`, and the type that the flag reads.
# All others are typed as `--option KEY=VALUE`.
FLAG_TYPES: dict[str, type] = {
    "target_ms": float,  # one, or several with commas
    "alpha": float,
    "beta": float,
    "population": int,
    "tournament": int,
    "batch": int,
}


def flag(option: str) -> str:
    """Return the flag of an option that has one.

    Args:
        option: A key of `FLAG_TYPES`, such as `target_ms`.

    Returns:
        The flag, such as `--target-ms`.
    """
    return f"--{option.replace('_', '-')}"
