"""Which epochs, batch and validation rank networks well, by the number of images?

Subsets of cifar-10-photos stand for somebody's images: N of its training images, equally many of each class. Random
networks of the space for images of up to 48 pixels are trained on them. The truth of a network is its accuracy on the
1,000 test images after 60 epochs on all N images (40 where N is 500, 30 where it is 1,000, 15 where it is 4,000). A
proxy scores it as a search does: by the images that a training, or each of several folds, left out. The table has
Kendall's tau-b of each proxy's score with the truth, its 5 % and 95 % quantiles over 2,000 bootstrap samples of the
networks, and the image passes (images x epochs, of all folds) of one network. All proxies of one N see the same
networks and the same images.

    python benchmarks/suited_settings.py --data cifar-10-photos --out suited [--images 200 1000] [--networks 12]
        [--seconds 600]

Written are `suited.json`, every score, and `suited.md`, the table. What is there is not trained again: the same command
goes on where it stopped, and ends after `--seconds` by itself. One thread of two busy cores trains some 200 images a
second. `--networks 3 --images 20` runs it short. `--plot` writes the table
again without training.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from evomnas.core.numbers.ranks import kendall_tau
from evomnas.data.images import Dataset, LabelledImages
from evomnas.data.splits import load_training_images, split_for_search
from evomnas.deploy.testsplit import load_test_images
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import load_definition, validate_definition
from evomnas.problem.sections import DataSection, TrainingSection
from evomnas.training.proxy_task import ProxyTask

RESOLUTION, SAMPLES = 32, 2000
TRUE_EPOCHS = {200: 60, 500: 40, 1000: 30, 4000: 15}  # by images, so that both can be waited for
RATE = {"batch": 32, "learning_rate": 0.05}
PROXIES: dict[int, dict[str, tuple[dict, dict]]] = {  # by images: data section and training section of each
    200: {
        "5 epochs, a fifth validates": ({"validation": 0.2}, {"epochs": 5, **RATE}),
        "40 epochs, batch 16, a fifth validates": ({"validation": 0.2}, {"epochs": 40, **RATE, "batch": 16}),
        "15 epochs, batch 16, 5 folds": ({"folds": 5}, {"epochs": 15, **RATE, "batch": 16}),
        "30 epochs, batch 16, 3 folds": ({"folds": 3}, {"epochs": 30, **RATE, "batch": 16}),
    },
    500: {
        "10 epochs, batch 16, a fifth validates": ({"validation": 0.2}, {"epochs": 10, **RATE, "batch": 16}),
        "12 epochs, batch 16, 3 folds": ({"folds": 3}, {"epochs": 12, **RATE, "batch": 16}),
        "6 epochs, batch 16, 5 folds": ({"folds": 5}, {"epochs": 6, **RATE, "batch": 16}),
    },
    1000: {
        "5 epochs, a fifth validates": ({"validation": 0.2}, {"epochs": 5, **RATE}),
        "6 epochs, 3 folds": ({"folds": 3}, {"epochs": 6, **RATE}),
        "12 epochs, a fifth validates": ({"validation": 0.2}, {"epochs": 12, **RATE}),
    },
    4000: {"5 epochs, a fifth validates": ({"validation": 0.2}, {"epochs": 5, **RATE})},
}


def definition(folder: Path, data: dict) -> ProblemDefinition:
    """Return the problem of a folder, with the space of small images."""
    values = load_definition("fashion-mnist").model_dump(mode="json", exclude_none=True)
    section = {"dataset": "image-folder", "path": str(folder), "resolution": RESOLUTION, "augment": ["crop", "flip"]}
    return validate_definition({**values, "name": "suited", "data": {**section, **data}})


def subset(images: LabelledImages, count: int) -> LabelledImages:
    """Return the first images of each class, `count` of all classes together."""
    share = count // len(images.classes)
    kept = np.sort(
        np.concatenate([np.flatnonzero(images.labels == label)[:share] for label in np.unique(images.labels)])
    )
    origin = replace(images.origin, keys=images.origin.keys[kept], validates=None)
    return replace(images, images=images.images.select(kept), labels=images.labels[kept], origin=origin)


def true_task(train: LabelledImages, test: LabelledImages, section: DataSection) -> ProxyTask:
    """Return the task whose score is the truth."""
    dataset = Dataset(train.images, train.labels, test.images, test.labels, train.classes)
    return ProxyTask(dataset, section, TrainingSection(epochs=TRUE_EPOCHS.get(len(train.labels), 60), **RATE), "cpu")


def tasks(folder: Path, count: int) -> dict[str, tuple[ProxyTask, int]]:
    """Return the truth and all proxies for a number of images, with the image passes of one network."""
    plain = definition(folder, {}).data
    everything = load_training_images(plain)
    train, test = subset(everything, count), load_test_images(plain, everything)
    task = true_task(train, test, plain)
    found = {"truth": (task, task.recipe.epochs * len(train.labels))}
    for name, (data, training) in PROXIES.get(count, PROXIES[200]).items():
        section, recipe = definition(folder, data).data, TrainingSection(**training)
        dataset = split_for_search(train, section)
        trained = sum(len(dataset.split(number).train_labels) for number in range(dataset.trainings))
        found[name] = ProxyTask(dataset, section, recipe, "cpu"), recipe.epochs * trained
    return found


def train(args: argparse.Namespace) -> list[dict]:
    """Train what is not in the file yet, until the time is up."""
    path, started = Path(f"{args.out}.json"), time.perf_counter()
    rows = json.loads(path.read_text()) if path.exists() else []
    known = {(row["images"], row["proxy"], row["network"]) for row in rows}
    space, rng = load_definition("fashion-mnist").space, np.random.default_rng(2026)
    networks = [str(space.decode(genome)) for genome in space.sample(args.networks, rng)]
    for count in args.images:
        jobs = [(network, name) for network in networks for name in ("truth", *PROXIES.get(count, PROXIES[200]))]
        left = [(network, name) for network, name in jobs if (count, name, network) not in known]
        made = tasks(args.data, count) if left else {}
        for network, name in left:
            if time.perf_counter() - started > args.seconds:
                return rows
            task, passes = made[name]
            result = task.train(Architecture.parse(network))
            rows.append(
                {
                    "images": count, "proxy": name, "network": network, "accuracy": result.accuracy,
                    "likelihood": float(np.exp(-result.loss)), "passes": passes, "seconds": result.seconds,
                }
            )  # fmt: skip
            path.write_text(json.dumps(rows, indent=1))
    return rows


def table(rows: list[dict]) -> str:
    """Return the table as Markdown."""
    lines = [
        "| images | proxy | networks | image passes | tau | 5 % to 95 % |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rng = np.random.default_rng(0)
    for count in sorted({row["images"] for row in rows}):
        score = {(row["proxy"], row["network"]): row["accuracy"] for row in rows if row["images"] == count}
        complete = list(dict.fromkeys(row["proxy"] for row in rows if row["images"] == count))
        networks = sorted({name for proxy, name in score if all((one, name) in score for one in complete)})
        draws = rng.integers(max(1, len(networks)), size=(SAMPLES, len(networks)))
        for proxy in complete:
            if proxy == "truth" or len(networks) < 3:
                continue
            ours, truth = (np.array([score[name, network] for network in networks]) for name in (proxy, "truth"))
            low, high = np.nanquantile([kendall_tau(ours[draw], truth[draw]) for draw in draws], (0.05, 0.95))
            passes = next(row["passes"] for row in rows if (row["images"], row["proxy"]) == (count, proxy))
            tau = kendall_tau(ours, truth)
            lines.append(
                f"| {count:,} | {proxy} | {len(networks)} | {passes:,} | {tau:.2f} | {low:.2f} to {high:.2f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("suited"))
    parser.add_argument("--images", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--networks", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--plot", action="store_true", help="write the table again, train nothing")
    args = parser.parse_args()
    rows = json.loads(Path(f"{args.out}.json").read_text()) if args.plot else train(args)
    Path(f"{args.out}.md").write_text(table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
