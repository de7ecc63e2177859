"""The names of the formats for PyTorch and of their files, which are known without torch."""

from __future__ import annotations

PYTHON, TORCH_EXPORT = "python", "torch-export"
PYTORCH_SUFFIXES = {PYTHON: ".py", TORCH_EXPORT: ".pt2"}


def file_name(format_name: str, variant: str) -> str:
    """Return the name of a file.

    Args:
        format_name: The name of the format.
        variant: The variant of the network, such as `float` or `pruned 50 %`.

    Returns:
        The name; that of a Python file can be imported.
    """
    words = f"model-{variant.replace(' %', '').replace(',', '').replace(' ', '-')}"
    return (words.replace("-", "_") if format_name == PYTHON else words) + PYTORCH_SUFFIXES[format_name]


def usage(format_name: str, file: str) -> str:
    """Return the code that computes logits with a file, for a model card.

    Args:
        format_name: The name of the format.
        file: The name of the file.

    Returns:
        Lines of Python; `pixels` are the values that the card's code for PyTorch reads.
    """
    if format_name == PYTHON:
        module = file.removesuffix(PYTORCH_SUFFIXES[PYTHON])
        return f"from {module} import CLASSES, load\n\nnetwork = load()  # a torch module in evaluation mode\n"
    return f'import torch\n\nnetwork = torch.export.load("{file}").module()\n'
