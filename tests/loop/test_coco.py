"""The built-in problem of COCO, on a COCO of a few drawn pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from box_files import coco, draw, save

import evomnas
from evomnas.data.boxes.listing import list_boxes
from evomnas.problem.loading import load_definition
from evomnas.report.run_report import write_report

pytest.importorskip("faster_coco_eval")


@pytest.fixture(scope="module")
def tiny_coco(tmp_path_factory) -> Path:
    """COCO's own layout, with files beside those of boxes, gaps in the numbers of categories, and a crowd."""
    root = tmp_path_factory.mktemp("coco2017")
    (root / "annotations").mkdir()
    pictures = draw(24, (96, 128))
    for split, chosen in (("train2017", pictures[:18]), ("val2017", pictures[18:])):
        names = {f"{number:012}.jpg": drawn for number, drawn in enumerate(chosen, 1 if split == "train2017" else 100)}
        for name, drawn in names.items():
            save(root / split / name, drawn.pixels, quality=95)
        content = coco(names)
        content["annotations"][0]["iscrowd"] = 1
        for kind in ("instances", "person_keypoints"):
            (root / "annotations" / f"{kind}_{split}.json").write_text(json.dumps(content))
    return root


def test_coco_s_own_folder_is_known(tiny_coco):
    problem = load_definition("coco", data=tiny_coco)
    files = list_boxes(problem.data)
    assert (files.splits.count("train"), files.splits.count("test")) == (18, 6)
    assert files.classes == ("ball", "car", "tree")
    assert files.targets.boxes.crowd.sum() == 2
    assert problem.axes == ("validation AP (%)", "latency (ms)")
    assert problem.space.mobilenet_v2() == problem.space.reference_network()


@pytest.mark.thorough
def test_coco_is_searched_in_the_setting_of_the_papers(tiny_coco, tmp_path):
    """At 320 pixels and full width; one epoch, as nothing could be learnt from so few pictures."""
    overrides = ["training.epochs=1", "training.batch=4", "data.validation=0.3"]
    problem = load_definition("coco", overrides, data=tiny_coco)
    run = evomnas.search(problem, "random", budget=2, workers=0, out=tmp_path / "run", device="cpu")
    for result in run.results():
        assert result.evaluation.status == "ok"
        assert 0 <= result.evaluation.losses[0] <= 1
        assert np.isfinite(result.evaluation.losses).all()
    assert "What they find" in write_report(run).read_text()
