"""Is a search around a pretrained network worth more than fine-tuning a published one?

On each data set and with each seed, four things are done with the same training images:

1. `search` around the donor; the networks on its front, which validation images chose, are trained in full.
2. All published networks whose pretrained weights are on this machine are fine-tuned by the same recipe, at every
   resolution of the space (`evomnas baselines --pretrained`).
3. A search from random weights gets the search's time of 1. Then the networks on its front are trained in full, the
   most accurate ones first, until the time of the full trainings of 1 is spent as well.
4. All these networks are scored on the test images.

Two kinds of comparison, each as a factor of latency and in points of test accuracy:

- `chosen`: validation images choose all. The rival is the baseline with the best validation accuracy, at the problem's
  resolution or at any. Ours is the fastest network of our front with at least its validation accuracy; our best, if
  there is none. The test images are read afterwards.
- `front`: the fronts by test accuracy and latency, with hindsight on both sides. How many times as fast is ours at
  equal test accuracy (geometric mean over the accuracies that both fronts reach), and how many points better at equal
  latency (mean over the latencies of both fronts, beyond the slower one of the two fastest networks)?

    python benchmarks/instead.py --shared DATA --out instead [--data cifar-10-photos fashion-mnist bccd]
        [--seeds 0 1 2] [--train 1000] [--test 1000] [--budget 24] [--device cuda]

DATA has the folders cifar-10-photos (`train` and `test` with a folder of JPEGs per class), fashion-mnist (an npz file)
and bccd (Pascal VOC; each box is cut out as a square image, and there are as many of each class). Written are
`instead.md`, a table, and `instead.json`, all figures. What was done before is not done again: start it again after an
interruption, or with more seeds. A seed with 500 images, 20 networks and one baseline took 50 minutes on two busy
cores, without the search from scratch. `--train 30 --test 30 --budget 8 --set training.epochs=2 --set full.epochs=1
--set space.resolutions=[48]` runs it short.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from headline import interval
from numpy.typing import NDArray
from PIL import Image

from evomnas.deploy.pretrained_baselines import fine_tune_baselines
from evomnas.deploy.trained_networks import front_networks, train_networks
from evomnas.loop.launch import resume, search
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import load_definition
from evomnas.problem.pareto import non_dominated
from evomnas.report.run_report import write_report
from evomnas.results.evaluation import FullTraining
from evomnas.results.full_trainings import baseline_results
from evomnas.results.run import Run

CELL_SIDE = 96  # pixels of a cell that is cut out
Part = tuple[list[NDArray[np.uint8]], list[int]]  # images, and their classes by number


@dataclass(frozen=True)
class Point:
    """A network: validation score of its training as a candidate, test accuracy of the full one, latency in ms."""

    name: str
    resolution: int
    validation: float
    test: float
    latency_ms: float


# --- data ---


def photographs(folder: Path, part: str) -> Part:
    classes = sorted(path.name for path in (folder / part).iterdir() if path.is_dir())
    files = [(path, label) for label, name in enumerate(classes) for path in sorted((folder / part / name).iterdir())]
    return [np.array(Image.open(path).convert("RGB")) for path, _ in files], [label for _, label in files]


def fashion(folder: Path, part: str) -> Part:
    with np.load(folder / "fashion_mnist.npz") as arrays:
        return list(arrays[f"x_{part}"]), arrays[f"y_{part}"].tolist()


def cells(folder: Path, part: str) -> Part:
    """Cut out a square round the middle of every box, as large as the box's longer side and a tenth more."""
    root, names = folder / "BCCD", ["Platelets", "RBC", "WBC"]
    images: list[NDArray[np.uint8]] = []
    labels = []
    for stem in (root / f"ImageSets/Main/{'trainval' if part == 'train' else 'test'}.txt").read_text().split():
        picture = Image.open(root / f"JPEGImages/{stem}.jpg").convert("RGB")
        for box in ElementTree.parse(root / f"Annotations/{stem}.xml").iter("object"):
            ends = [float(box.findtext(f"bndbox/{name}") or 0) for name in ("xmin", "ymin", "xmax", "ymax")]
            half = max(4.0, 0.55 * max(ends[2] - ends[0], ends[3] - ends[1]))
            x, y = (ends[0] + ends[2]) / 2, (ends[1] + ends[3]) / 2
            cut = picture.crop((round(x - half), round(y - half), round(x + half), round(y + half)))
            images.append(np.array(cut.resize((CELL_SIDE, CELL_SIDE), Image.Resampling.BILINEAR)))
            labels.append(names.index(str(box.findtext("name"))))
    return images, labels


READERS: dict[str, Callable[[Path, str], Part]] = {
    "cifar-10-photos": photographs, "fashion-mnist": fashion, "bccd": cells,
}  # fmt: skip


def draw(images: Part, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw images, as many of every class as there are of the rarest at most, in all `count` at most."""
    labels, rng = np.array(images[1]), np.random.default_rng(0)
    each = min(math.ceil(count / len(np.unique(labels))), int(np.bincount(labels).min()))
    chosen = np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:each] for label in np.unique(labels)])
    return np.stack([images[0][place] for place in chosen]), labels[chosen]


def prepare_data(name: str, given: argparse.Namespace) -> Path:
    path = given.out / name / f"{given.train}-{given.test}.npz"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {}
        for part, count in (("train", given.train), ("test", given.test)):
            arrays[f"x_{part}"], arrays[f"y_{part}"] = draw(READERS[name](given.shared / name, part), count)
        np.savez(path, **arrays)
    return path


# --- the three ways ---


def problem(name: str, path: Path, seed: int, given: argparse.Namespace, donor: str | None) -> ProblemDefinition:
    settings = [
        f"name={name}", "data.dataset=npz", f"data.path={path.resolve()}", f"data.resolution={given.resolution}",
        f"training.seed={seed}", f"full.seed={seed}", *(given.settings if donor else given.scratch_settings),
    ]  # fmt: skip
    definition = load_definition("images", settings, donor=donor)
    return definition.trained("")


def searched(definition: ProblemDefinition, folder: Path, given: argparse.Namespace, **limits: Any) -> Run:
    """Search, go on with a search, or return one that has ended."""
    common = {"workers": given.workers, "device": given.device}
    if not (folder / "run.json").is_file():
        return search(definition, given.algo, out=folder, **common, **limits)
    run = Run.open(folder)
    if run.manifest.status in ("finished", "out of time") and run.manifest.evaluations >= min(limits["budget"], 1):
        return run
    if "time_limit_s" in limits:
        limits["time_limit_s"] = max(1.0, limits["time_limit_s"] - run.manifest.seconds.total)
    return resume(folder, **common, **limits)


def front_points(run: Run, given: argparse.Namespace, time_limit_s: float = math.inf) -> tuple[list[Point], float]:
    """Train the networks of a front in full, the most accurate first; return their points and the seconds.

    No training begins once the time is spent.
    """
    seconds, points = 0.0, []
    found = {result.evaluation.architecture: result for result in run.front()}
    for network in reversed(front_networks(run) if found else []):
        if seconds >= time_limit_s:
            break
        [trained] = train_networks(run, [network], device=given.device)
        evaluation = found[network].evaluation
        if isinstance(trained.result, FullTraining):
            seconds += trained.result.seconds
            side = network.resolution or given.resolution
            accuracy, latency_ms = trained.result.score.accuracy, evaluation.quantities["latency_ms"]
            points.append(Point(network.id, side, evaluation.score or 0.0, accuracy, latency_ms))
    return points, seconds


def compare(name: str, seed: int, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Do all of it for one data set and seed, as far as it was not done before; yield what is known, twice."""
    place, path = given.out / name / f"s{seed}", prepare_data(name, given)

    def say(text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {name}, seed {seed}: {text}", flush=True)

    around = problem(name, path, seed, given, given.donor)
    run = searched(around, place / "around", given, budget=given.budget, seed=seed)
    say(f"searched {run.manifest.evaluations} networks around {given.donor} in {run.manifest.seconds.total:.0f} s")
    ours, full_s = front_points(run, given)
    say(f"trained the {len(ours)} networks of its front in full in {full_s:.0f} s")
    fine_tune_baselines(
        around, given.baselines, Path(run.archive.path), place / "baselines", device=given.device,
        on_plan=lambda plan: say(f"baselines take about {plan.seconds or 0:.0f} s"),
        on_progress=lambda one, epoch, epochs, loss: say(one) if epoch == epochs else None,
    )  # fmt: skip
    baselines = [
        Point(
            one.baseline.name, one.baseline.resolution, one.result.evaluation.score or 0.0,
            one.result.training.score.accuracy, one.result.evaluation.quantities["latency_ms"],
        )
        for one in baseline_results(run)
        if one.result.training is not None
    ]  # fmt: skip
    write_report(run)
    total = {"search_s": run.manifest.seconds.total, "full_s": full_s, "evaluations": run.manifest.evaluations}
    found = {"data": name, "seed": seed, "resolution": given.resolution, "around": total}
    found |= {"ours": [asdict(one) for one in ours], "baselines": [asdict(one) for one in baselines]}
    yield found
    if given.scratch:
        plain = problem(name, path, seed, given, None)
        limits = {"budget": 100_000, "seed": seed, "time_limit_s": run.manifest.seconds.total}
        scratch = searched(plain, place / "scratch", given, **limits)
        say(f"searched {scratch.manifest.evaluations} networks from random weights")
        points, seconds = front_points(scratch, given, full_s)
        write_report(scratch)
        total = {"search_s": scratch.manifest.seconds.total, "full_s": seconds}
        found["scratch_search"] = total | {"evaluations": scratch.manifest.evaluations}
        found["scratch"] = [asdict(one) for one in points]
        yield found


# --- comparisons ---


def chosen(ours: Sequence[Point], rivals: Sequence[Point]) -> dict[str, Any]:
    """Compare the network that validation chooses with the rival that it chooses."""
    rival = max(rivals, key=lambda one: (one.validation, -one.latency_ms))
    good = [one for one in ours if one.validation >= rival.validation]
    pick = min(good, key=lambda one: one.latency_ms) if good else max(ours, key=lambda one: one.validation)
    return {
        "ours": asdict(pick), "rival": asdict(rival), "as_accurate_in_validation": bool(good),
        "times_as_fast": rival.latency_ms / pick.latency_ms, "points_better": 100 * (pick.test - rival.test),
    }  # fmt: skip


def tested_front(points: Sequence[Point]) -> list[Point]:
    on_front = non_dominated([(1 - one.test, one.latency_ms) for one in points])
    return sorted((one for one, is_member in zip(points, on_front, strict=True) if is_member), key=lambda p: p.test)


def fronts(ours: Sequence[Point], rivals: Sequence[Point]) -> dict[str, float | None]:
    """Compare two fronts by test accuracy: see the docstring of the module."""
    one, other = tested_front(ours), tested_front(rivals)

    def fastest(front: Sequence[Point], accuracy: float) -> float:
        return min(point.latency_ms for point in front if point.test >= accuracy)

    def best(front: Sequence[Point], latency_ms: float) -> float:
        return max(point.test for point in front if point.latency_ms <= latency_ms)

    low, high = max(one[0].test, other[0].test), min(one[-1].test, other[-1].test)
    levels = sorted({point.test for point in (*one, *other) if low <= point.test <= high})
    ratios = [fastest(other, level) / fastest(one, level) for level in levels]
    start = max(min(point.latency_ms for point in front) for front in (one, other))
    times = sorted({point.latency_ms for point in (*one, *other) if point.latency_ms >= start})
    gains = [100 * (best(one, latency) - best(other, latency)) for latency in times]
    return {
        "times_as_fast": math.exp(float(np.mean(np.log(ratios)))) if ratios else None,
        "points_better": float(np.mean(gains)) if gains else None,
        "best_points": 100 * (one[-1].test - other[-1].test),
    }


def comparisons(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return all comparisons of one data set and seed by their names."""
    ours, baselines, scratch = (
        [Point(**one) for one in found.get(name, [])] for name in ("ours", "baselines", "scratch")
    )
    whole = [one for one in baselines if one.resolution == found["resolution"]]
    result = {}
    for name, rivals in (("at the problem's resolution", whole), ("at all resolutions", baselines)):
        if rivals and ours:
            result[f"chosen, {name}"] = chosen(ours, rivals)
            result[f"front, {name}"] = fronts(ours, rivals)
    if scratch and ours:
        result["chosen, from scratch"], result["front, from scratch"] = chosen(ours, scratch), fronts(ours, scratch)
    return result


def mean_text(values: Sequence[float], is_factor: bool) -> str:
    """Return the mean of a value by seed with its 95 % interval; of a factor, the geometric mean."""
    if not values:
        return "-"
    numbers = [math.log(value) for value in values] if is_factor else list(values)
    mean, half = interval(numbers)
    ends = (mean, mean - half, mean + half)
    texts = [f"{math.exp(value):.2f}" if is_factor else f"{value:+.1f}" for value in ends if math.isfinite(value)]
    text = f"{texts[0]}x" if is_factor else texts[0]
    return f"{text} (one seed)" if len(texts) == 1 else f"{text} ({texts[1]} to {texts[2]})"


def table(found: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| images | ours against | seeds | times as fast | points of test accuracy better |",
        "| --- | --- | --- | --- | --- |",
    ]
    for data in dict.fromkeys(one["data"] for one in found):
        by_seed = [comparisons(one) for one in found if one["data"] == data]
        for name in dict.fromkeys(name for one in by_seed for name in one):
            rows = [one[name] for one in by_seed if name in one]
            cells_text = [
                mean_text([row[key] for row in rows if row[key] is not None], key == "times_as_fast")
                for key in ("times_as_fast", "points_better")
            ]
            lines.append(f"| {data} | {name} | {len(rows)} | {cells_text[0]} | {cells_text[1]} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("instead"))
    parser.add_argument("--data", nargs="+", default=list(READERS), choices=list(READERS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--budget", type=int, default=24)
    parser.add_argument("--algo", default="nsga2-surrogate")
    parser.add_argument("--donor", default="efficientnet-lite0")
    parser.add_argument("--baselines", nargs="+", default=[], help="names; all whose weights are here if absent")
    parser.add_argument("--no-scratch", dest="scratch", action="store_false", help="leave the search from scratch out")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--scratch-set", dest="scratch_settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for seed in given.seeds:
        for name in given.data:
            for known in compare(name, seed, given):
                found[name, seed] = known
                rows = [one | {"comparisons": comparisons(one)} for one in found.values()]
                (given.out / "instead.json").write_text(json.dumps(rows, indent=2) + "\n")
                (given.out / "instead.md").write_text(table(list(found.values())))
    print(table(list(found.values())))


if __name__ == "__main__":
    main()
