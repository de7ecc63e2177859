"""A problem that trains in a fraction of a second, as a problem file's values."""

from __future__ import annotations

TINY = {
    "name": "tiny",
    "summary": "digits of 8 pixels, two blocks",
    "space": {
        "filters": [8, 8], "layers": [1, 2], "strides": [2, 2], "stem": 8, "stem_stride": 1, "head": 16, "divisor": 4,
    },
    "data": {"dataset": "digits", "resolution": 8, "validation": 0.5, "train_images": 200},
    "training": {"epochs": 1, "batch": 50},
    "full": {"epochs": 4, "batch": 128, "learning_rate": 0.016, "bn_momentum": 0.1},
}  # fmt: skip
