"""How short may a training be that ranks networks around a donor?

Networks are drawn evenly from the preset space around EfficientNet-Lite0 at 96 pixels, and trained on 800 images of
CIFAR-10. The truth of a network is the mean accuracy of three full fine-tunings (15 epochs, the preset's recipe) on
3,000 images that nothing else uses. A proxy trains fewer epochs and scores the network on 200 validation images, as a
search does: by accuracy, or by the mean cross-entropy. Proxies are trained with and without the answers of the
fine-tuned donor in their loss.

The table has Kendall's tau-b of each proxy with the mean of two full fine-tunings (the mean over the three pairs), over
all networks and over the better half of each pair's mean; the same of the third full fine-tuning, which is the ceiling;
and the quotient of the two. Intervals are the 5 % and 95 % quantiles of 1,000 bootstrap samples of the networks. Costs
are steps relative to those of the full fine-tuning. `donor_trainings.py` trains and writes the table.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from donor_recipe import SMALL_RESOLUTION, shortened, teacher
from donor_trainings import Job, random_networks
from numpy.typing import NDArray

from evomnas.core.numbers.ranks import kendall_tau

NETWORKS, SEEDS, SAMPLES = 60, 3, 1000
IMAGES, AUGMENT = "cifar-800+200", ("flip",)
SMALL_NETWORKS, SMALL_IMAGES = 16, "cifar-200+200"
PROXY_EPOCHS = (1, 2, 3, 4, 6)
TAUGHT_EPOCHS = (1, 2, 4)
PROXY_SEED = 100
TAUGHT = {"temperature": 2.0, "share": 0.5}
LAST = 0.6  # of the order of jobs; a part of the recipe's come later
Floats = NDArray[np.float64]


def jobs(tiny: bool, small: bool) -> list[Job]:
    """Return all trainings."""
    images, resolution = (SMALL_IMAGES, SMALL_RESOLUTION) if small else (IMAGES, 96)
    found = [teacher(images, AUGMENT, resolution)]
    networks = random_networks(8 if tiny else SMALL_NETWORKS if small else NETWORKS, resolution, 2026)
    for place, network in enumerate(networks):
        trainings = [("full", seed, {}) for seed in range(SEEDS)]
        trainings += [(f"{epochs} epochs", PROXY_SEED, {"epochs": epochs}) for epochs in PROXY_EPOCHS]
        trainings += [
            (f"{epochs} epochs, taught", PROXY_SEED, {"epochs": epochs, **TAUGHT}) for epochs in TAUGHT_EPOCHS
        ]
        for name, seed, changes in trainings:
            changes = {"augment": AUGMENT, **changes}
            found.append(Job(("ranking", name), images, str(network), seed, changes, LAST * place / len(networks)))
    return [shortened(job) for job in found] if tiny else found


def tables(results: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """Return the table as values and as Markdown."""
    by_network: dict[str, dict[str, dict[int, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for row in results:
        if row["table"][0] == "ranking":
            by_network[row["network"]][row["table"][1]][row["seed"]] = row
    networks = [trainings for trainings in by_network.values() if len(trainings["full"]) == SEEDS]
    if len(networks) < 4:
        return {"networks": len(networks)}, f"{len(networks)} networks were trained in full: too few\n"
    truth = np.array([[one["full"][seed]["accuracy"] for seed in range(SEEDS)] for one in networks])
    full_steps = networks[0]["full"][0]["steps"]
    content: dict[str, Any] = {"networks": len(networks), "spread": _spread(truth), "rows": []}
    kinds = (("held-out accuracy", "accuracy", 1), ("validation accuracy", "validation_accuracy", 1),
             ("validation loss", "validation_loss", -1))  # fmt: skip
    for words, kind, sign in kinds:
        scores = sign * np.array([[one["full"][seed][kind] for seed in range(SEEDS)] for one in networks])
        row = _row(f"full fine-tuning, by {words}", scores, truth, 1.0, np.ones(len(networks), bool))
        content["rows"].append(row)
    for name in sorted({name for one in by_network.values() for name in one if name != "full"}, key=_order):
        known = np.array([bool(one[name]) for one in networks])
        if known.sum() < 4:
            continue
        rows = [next(iter(one[name].values())) for one in networks if one[name]]
        for words, kind, sign in kinds[1:]:
            scores = np.full((len(networks), SEEDS), np.nan)
            scores[known] = sign * np.array([row[kind] for row in rows])[:, None]
            share = rows[0]["steps"] / full_steps
            content["rows"].append(_row(f"{name}, by {words}", scores, truth, share, known))
    return content, _markdown(content)


def _order(name: str) -> tuple[bool, int]:
    return "taught" in name, int(name.split()[0])


def _spread(truth: Floats) -> dict[str, float]:
    """Return how accuracies differ between networks, and between trainings of one network."""
    return {
        "mean": float(truth.mean()),
        "between": float(truth.mean(1).std(ddof=1)),
        "within": float(np.sqrt(truth.var(1, ddof=1).mean())),
        "low": float(truth.mean(1).min()),
        "high": float(truth.mean(1).max()),
    }


def _row(name: str, scores: Floats, truth: Floats, share: float, known: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the rank correlations of a score: `scores[:, k]` with the mean of all full trainings but the k-th."""
    rng, row = np.random.default_rng(0), {"name": name, "share": share, "networks": int(known.sum())}
    scores, truth = scores[known], truth[known]
    best = truth  # the ceiling's scores: the third training, on the images that are held out
    draws = [np.arange(len(truth)), *(rng.integers(len(truth), size=len(truth)) for _ in range(SAMPLES))]
    for part in ("all", "better half"):
        pairs = np.array([[_tau(scores, truth, draw, part), _tau(best, truth, draw, part)] for draw in draws])
        with np.errstate(invalid="ignore", divide="ignore"):  # of very few networks
            quotients = pairs[:, 0] / pairs[:, 1]
        row[part] = {
            "tau": float(pairs[0, 0]),
            "interval": np.nanquantile(pairs[1:, 0], (0.05, 0.95)).tolist(),
            "ceiling": float(pairs[0, 1]),
            "quotient": float(quotients[0]),
            "quotient_interval": np.nanquantile(quotients[1:], (0.05, 0.95)).tolist(),
        }
    return row


def _tau(scores: Floats, truth: Floats, draw: NDArray[np.int64], part: str) -> float:
    """Return the mean tau-b of each column of scores with the mean of the other columns of the truth."""
    found = []
    for column in range(truth.shape[1]):
        mean = np.delete(truth[draw], column, axis=1).mean(1)
        chosen = mean >= np.median(mean) if part == "better half" else np.ones(len(mean), bool)
        found.append(kendall_tau(scores[draw][chosen, column], mean[chosen]))
    return float(np.mean(found))


def _markdown(content: dict[str, Any]) -> str:
    spread = content["spread"]
    lines = [
        f"{content['networks']} networks, accuracy {100 * spread['low']:.1f} to {100 * spread['high']:.1f} %, standard "
        f"deviation {100 * spread['between']:.2f} points between networks and {100 * spread['within']:.2f} between "
        "trainings of one.",
        "",
        "| training, score | steps | networks | tau | of the ceiling | better half | of the ceiling |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in content["rows"]:
        cells = []
        for part in ("all", "better half"):
            one = row[part]
            cells.append(f"{one['tau']:.2f} ({one['interval'][0]:.2f} to {one['interval'][1]:.2f})")
            low, high = one["quotient_interval"]
            cells.append(f"{one['quotient']:.2f} ({low:.2f} to {high:.2f})")
        lines.append(f"| {row['name']} | {row['share']:.2f} | {row['networks']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
