"""The head of a model card that the Hugging Face Hub reads: what the network is for, and its score.

JSON's texts and numbers are YAML's as well, so no YAML library is needed.
"""

from __future__ import annotations

import json
from typing import Any

TAGS = ("evomnas", "neural-architecture-search", "mobile")
LICENSES = "https://huggingface.co/docs/hub/repositories-licenses"


def front_matter(title: str, problem: str, accuracy: float, started_from: str | None) -> str:
    """Return the head of a card, which ends with a line of its own.

    Args:
        title: The card's title.
        problem: The name of the problem.
        accuracy: The share of the test images that are classified correctly.
        started_from: The pretrained weights in words; None where training started from random ones.

    Returns:
        YAML between two lines of dashes. The licence is for the owner to choose: it stands there as a comment.
    """
    metrics = [{"type": "accuracy", "name": "test accuracy", "value": round(accuracy, 6)}]
    return _head(title, problem, "image-classification", metrics, started_from)


def detector_front_matter(title: str, problem: str, ap: float, ap50: float, started_from: str | None) -> str:
    """Return the head of a detector's card, which ends with a line of its own.

    Args:
        title: The card's title.
        problem: The name of the problem.
        ap: COCO's average precision on the test images.
        ap50: That at an intersection over union of 0.5.
        started_from: The trained weights in words; None where training started from random ones.

    Returns:
        See `front_matter`.
    """
    scores = {"test AP": ap, "test AP50": ap50}
    metrics = [{"type": "mAP", "name": name, "value": round(value, 6)} for name, value in scores.items()]
    return _head(title, problem, "object-detection", metrics, started_from)


def _head(title: str, problem: str, task: str, metrics: list[dict[str, Any]], started_from: str | None) -> str:
    data = {"type": problem, "name": problem, "split": "test"}
    results = {"task": {"type": task, "name": task.replace("-", " ")}, "dataset": data, "metrics": metrics}
    index = [{"name": title, "results": [results]}]
    tags = [*TAGS, task, *(["fine-tuned"] if started_from else [])]
    suits = "your images and the pretrained weights" if started_from else "your images"
    lines = [
        f"# license: mit  # choose one that suits {suits}: {LICENSES}",
        "library_name: pytorch",
        f"pipeline_tag: {task}",
        f"tags: {_yaml(tags)}",
        f"model-index: {_yaml(index)}",
    ]
    return "\n".join(["---", *lines, "---", ""])


def _yaml(value: Any) -> str:
    """Return a value in YAML's flow style, which JSON is but for letters that YAML cannot hold."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(letter for letter in text if letter.isprintable())
