"""The numbers that are tracked of each network, by name."""

from __future__ import annotations

from evomnas.results.run import Result

TRACKED = ("score", "accuracy", "latency_ms", "params", "macs", "validation_loss")


def tracked_numbers(result: Result) -> dict[str, float]:
    """Return the objectives and costs of a network.

    Args:
        result: The network and what came of it.

    Returns:
        Those that are known, by name: the keys of `evomnas show --format json`, `loss_1`, `loss_2` and `seconds`.
    """
    row, losses = result.to_dict(), result.evaluation.losses or ()
    known = {name: row[name] for name in TRACKED if row[name] is not None}
    known |= {f"loss_{number}": loss for number, loss in enumerate(losses, start=1)}
    if result.evaluation.seconds is not None:
        known["seconds"] = result.evaluation.seconds
    return {name: float(value) for name, value in known.items()}


def training_curve(result: Result) -> tuple[float, ...]:
    """Return the mean training loss of each epoch; empty where nothing was trained.

    Args:
        result: The network and what came of it.
    """
    training = result.evaluation.trained or result.evaluation.cut
    return () if training is None else training.losses
