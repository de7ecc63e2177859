"""Detectors that are shipped, as people and scripts read them: their exports, and what they find in pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from evomnas.cli.output import Format, PlainFormat, one_line, print_columns, print_csv

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.deploy.detection.detector_baselines import DetectorBaseline
    from evomnas.deploy.detection.detector_export import DetectorExports
    from evomnas.deploy.detection.detector_prediction import PictureFindings
    from evomnas.problem.sections import PrecisionName, ScoreName


def print_exports(exported: DetectorExports, output: PlainFormat) -> None:
    """Print the exports of a detector.

    Args:
        exported: The exports.
        output: As a table or as JSON.
    """
    if output is PlainFormat.JSON:
        typer.echo(json.dumps([asdict(export) for export in exported.exports], indent=2))
        return
    rows = []
    for export in exported.exports:
        latency = "failed" if export.latency_ms is None else f"{export.latency_ms:.4f}"
        interval = "-" if export.low_ms is None else f"{export.low_ms:.4f} to {export.high_ms:.4f}"
        agreement = "-" if export.agreement is None else f"{export.agreement:.1%}"
        sizes = f"{export.bytes / 1024:.1f}", f"{export.packed_bytes / 1024:.1f}"
        scores = f"{export.ap:.1%}", f"{export.ap50:.1%}", agreement
        rows.append((export.format, export.variant, *scores, latency, interval, *sizes))
    header = (
        "format", "variant", "test AP", "AP50", "as PyTorch", "latency ms", "95 % interval", "KiB", "packed KiB",
    )  # fmt: skip
    print_columns(header, rows, left=2)
    typer.echo(f"In PyTorch: AP {exported.ap:.1%}, AP50 {exported.ap50:.1%} on {exported.images:,} test images.")
    typer.echo("as PyTorch: boxes of which PyTorch is at least 30 % sure that the file finds in the same place.")
    for line in exported.advice:
        typer.echo(line)
    typer.echo(f"\nFiles:   {exported.folder}")


def print_detector_baselines(
    baselines: Sequence[DetectorBaseline], score: ScoreName | PrecisionName, folder: Path, output: PlainFormat
) -> None:
    """Print detectors on published networks.

    Args:
        baselines: The detectors.
        score: The average precision that the problem's searches maximise.
        folder: The folder of their files.
        output: As a table or as JSON.
    """
    from evomnas.cli.display.full_scores import score_cells, score_header

    if output is PlainFormat.JSON:
        typer.echo(json.dumps([baseline.to_dict() for baseline in baselines], indent=2))
        return
    rows: list[tuple[str, ...]] = []
    for baseline in baselines:
        row = baseline.to_dict()
        validation = "-" if row["validation_score"] is None else f"{row['validation_score']:.2%}"
        latency = "-" if row["latency_ms"] is None else f"{row['latency_ms']:.4f}"
        counts = ["-" if row[name] is None else f"{row[name]:,}" for name in ("params", "macs")]
        rows.append((baseline.name, *score_cells(baseline.result, score), validation, latency, *counts))
    print_columns(
        ("backbone", *score_header(score), "as a candidate", "latency ms", "parameters", "MACs"), rows, left=1
    )
    typer.echo("as a candidate: the score on the validation images after a search's short training.")
    for baseline in baselines:
        reason = baseline.to_dict()["reason"]
        if reason:
            typer.echo(f"{baseline.name}: {reason}")
    typer.echo(f"\nNetworks: {folder}")


def print_findings(found: Sequence[PictureFindings], output: Format) -> None:
    """Print what a detector finds in pictures.

    Args:
        found: The answers.
        output: The format.
    """
    if output is Format.JSON:
        typer.echo(json.dumps([answer.to_dict() for answer in found], indent=2))
        return
    rows = [row for answer in found for row in _rows(answer)]
    if output is Format.CSV:
        print_csv(rows)
        return
    cells = [
        (row["image"], row["class"] or ("failed" if row["error"] else "nothing"), _percent(row["score"]), _edges(row))
        for row in rows
    ]
    print_columns(("image", "class", "score", "box (left, top, right, bottom)"), cells, left=2)


def _rows(answer: PictureFindings) -> list[dict[str, Any]]:
    """Return a row for each thing in a picture, with one value in each cell; one row where there is none."""
    names = ("left", "top", "right", "bottom")
    image = {"image": one_line(str(answer.image))}
    empty = {"class": "", "score": "", **dict.fromkeys(names, "")}
    if not answer.things:
        return [image | empty | {"error": one_line(answer.error or "")}]
    return [
        image | {"class": one_line(one.name), "score": one.score, **dict(zip(names, one.box, strict=True)), "error": ""}
        for one in answer.things
    ]


def _percent(score: float | str) -> str:
    return f"{score:.1%}" if isinstance(score, float) else "-"


def _edges(row: dict[str, Any]) -> str:
    edges = [row[name] for name in ("left", "top", "right", "bottom")]
    return ", ".join(f"{edge:.0f}" for edge in edges) if "" not in edges else "-"
