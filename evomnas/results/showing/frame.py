"""Every evaluation of a run as a data frame of pandas, which need not be installed for anything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evomnas.core.errors import InputError

if TYPE_CHECKING:
    import pandas


def to_frame(rows: Sequence[Mapping[str, Any]], genes: Sequence[Sequence[int]]) -> pandas.DataFrame:
    """Return rows with their genes.

    Args:
        rows: n flat rows with the same keys.
        genes: The genome of each, shape (n, n_var).

    Returns:
        n rows with the columns of `rows`, and `gene_0`, `gene_1`, ...

    Raises:
        InputError: pandas is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError:
        raise InputError("a data frame needs pandas, which is not installed: pip install pandas") from None
    width = len(genes[0]) if genes else 0
    columns = [f"gene_{number}" for number in range(width)]
    return pandas.DataFrame(
        [{**row, **dict(zip(columns, genome, strict=True))} for row, genome in zip(rows, genes, strict=True)]
    )
