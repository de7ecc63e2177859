"""LiteRT files in int8, by Google's AI Edge Quantizer.

Weights are quantized symmetrically by output channel, and activations by the smallest and largest value that they have
on calibration images, as in ONNX files; input and output stay float. The quantizer's own habit, a moving average of the
images' ranges, cuts off what is beyond it: on random networks its files were off by four times as much.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np

from evomnas.core.quiet import silence, silence_native_code

MIN_RANGE = 1e-6  # of the values of an activation

if TYPE_CHECKING:
    from evomnas.latency.runtimes.base import Float32Array


def quantize_litert(model: bytes, calibration: Iterable[Float32Array], kept: str | None = None) -> bytes:
    """Return a LiteRT file in int8.

    Args:
        model: The content of a float file that evomnas wrote.
        calibration: Inputs that show the range of the activations, each of shape (n, c, h, w) as PyTorch takes them.
        kept: The beginning of the names of values that stay in float; None to quantize all.

    Returns:
        The content of the file, which takes and returns float values as before.
    """
    from evomnas.latency.runtimes.litert_graph import SIGNATURE

    images = [{"image": image.transpose(0, 2, 3, 1)} for image in calibration]
    nowhere = io.StringIO()  # it prints bars and a summary
    with silence(), silence_native_code(), redirect_stdout(nowhere), redirect_stderr(nowhere):
        from ai_edge_quantizer import calibrator, quantizer, recipe_manager
        from ai_edge_quantizer.utils import qsv_utils

        work, rules = quantizer.Quantizer(model, _recipe(kept)), recipe_manager.RecipeManager()
        rules.load_quantization_recipe(_recipe(kept))
        calibration_run = calibrator.Calibrator(model, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
        calibration_run.calibrate({SIGNATURE: images}, rules)
        ranges = calibration_run.get_model_qsvs()
        for values in ranges.values():
            _widen(values)
        return bytes(work.quantize(ranges).quantized_model)


def _widen(values: dict[str, Any]) -> None:
    """Widen the range of an activation that is the same for all images: XNNPACK refuses the scale of a dead ReLU."""
    if {"min", "max"} <= values.keys():
        is_constant = values["max"] - values["min"] < MIN_RANGE
        values["max"] = np.where(is_constant, values["min"] + 1, values["max"]).astype(np.float32)


def _recipe(kept: str | None) -> list[dict[str, Any]]:
    """Return the quantizer's rules: int8 weights and activations, but for input, output and values of kept names."""
    from ai_edge_quantizer import recipe

    rules: list[dict[str, Any]] = recipe.static_wi8_ai8()
    plain = [dict(rules[0], operation=operation, algorithm_key="no_quantize") for operation in ("INPUT", "OUTPUT")]
    named = [] if kept is None else [dict(rules[0], regex=f"^{kept}.*", algorithm_key="no_quantize")]
    return [*rules, *plain, *named]
