"""The table of the files that ship."""

from __future__ import annotations

import copy
import shutil

import pytest

from evomnas.deploy.formats.exported_files import EXPORTS_FILE
from evomnas.report.shipping.network_files import network_files


def test_a_run_without_trained_networks_has_none(shown_run):
    assert network_files(shown_run) is None


@pytest.mark.usefixtures("exports")
def test_exported_files_come_with_their_own_score_and_stay_away_with_a_broken_table(finished_run, trained, tmp_path):
    run = copy.copy(finished_run)
    run.folder = tmp_path / "run"
    folder = shutil.copytree(trained.folder, run.folder / "networks" / trained.folder.name)
    header, rows = network_files(run)
    by_name = {row[0].rpartition("/")[2]: dict(zip(header, row, strict=True)) for row in rows}
    size = (folder / "model-float.onnx").stat().st_size / 1024
    row = by_name["model-float.onnx"]
    assert (row["what it is"], row["KiB"]) == ("onnx, float", f"{size:,.1f}")
    assert row["test accuracy"].endswith("%")
    assert row["latency ms"] != "-"
    assert by_name["weights.safetensors"]["test accuracy"] == "-"
    assert (folder.parents[1] / row["file"]).is_file()
    (folder / EXPORTS_FILE).write_text("[")
    _, rows = network_files(run)
    assert {row[0].rpartition("/")[2] for row in rows} == {"weights.safetensors", "README.md"}
