"""The model card of a trained network: what it is, where it comes from, what it scored, what it cannot."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any


def share(value: float, digits: int = 2) -> str:
    """A share as a percentage."""
    return f"{100 * value:.{digits}f} %"


def scored(test: Mapping[str, Any]) -> str:
    """A test score in words."""
    low, high = test["interval"]
    return (
        f"{share(test['accuracy'])} of {test['images']:,} test images "
        f"(95 % interval {share(low)} to {share(high)}, Wilson)"
    )


def model_card(facts: Mapping[str, Any], classes: Sequence[str]) -> str:
    """The card in Markdown.

    Args:
        facts: What `model.json` holds beside what is needed to load the network.
        classes: Names of the classes.
    """
    recipe, origin = facts["recipe"], facts["origin"]
    named = ", ".join(map(plain, classes[:20])) + (f" and {len(classes) - 20} more" if len(classes) > 20 else "")
    rows = [
        ("Task", f"classify an image into one of {len(classes)} classes: {named}"),
        ("Input", f"{facts['images']}, pixel values from 0 to 255; normalisation is part of the network"),
        ("Parameters, MACs", f"{facts['cost']['params']:,}, {facts['cost']['macs']:,}"),
        ("Test accuracy", scored(facts["test"])),
        *([("Validation accuracy in the search", share(origin["accuracy"]))] if origin.get("accuracy") else []),
        *([("Latency", facts["latency_said"])] if facts.get("latency_said") else []),
        ("Problem", f"{plain(origin['problem'])}: {plain(origin['data'])}"),
        *([("Found by", plain(origin["search"]))] if origin.get("search") else []),
        ("Trained on", f"{facts['trained_on']:,} images, {recipe['epochs']} epochs, {facts['recipe_said']}"),
        *([("Teacher", f"`{facts['teacher']}`, by knowledge distillation")] if facts["teacher"] else []),
        ("Software", ", ".join(f"{name} {version}" for name, version in facts["versions"].items())),
    ]
    table = "\n".join(f"| {name} | {text} |" for name, text in rows)
    timed = (
        "\n- The latency is that of the machine, runtime and number of threads that are named above."
        if facts.get("latency_said")
        else ""
    )
    return f"""# {plain(facts["title"])}

`{facts["notation"]}`

| | |
| --- | --- |
{table}

## Use

```python
import evomnas

network = evomnas.load_network({facts["folder"]!r})  # a torch module
```

## Limits

- The test images were read once, after the training had ended, and come from the same source as the training images. On
  images of another camera, light or subject the accuracy is unknown and probably lower.
- Every image gets one of the {len(classes)} classes, whatever it shows. Logits are not calibrated probabilities.{timed}
- The recipe and the network were not chosen by this test score; other seeds would give slightly other scores, which the
  interval does not cover. Files that `evomnas export` writes are scored on the same test images: whoever picks one of
  them by its score, as how much to prune, has an optimistic score for it.
"""


def plain(text: str) -> str:
    """A text from outside as Markdown that shows it and nothing else: no link, no markup, no new row of a table."""
    return re.sub(r"[\\`*_\[\]<>&|~:@.#$]", lambda found: f"&#{ord(found[0])};", " ".join(text.split()))
