"""Put a trained network on the Hugging Face Hub."""

from __future__ import annotations

from typing import Annotated

import typer

from evomnas.cli import completion
from evomnas.cli.app import RunArgument, app, open_run, reported
from evomnas.cli.options import EpochsOption, FullSettingsOption, TrainedPrecisionOption, full_settings
from evomnas.cli.output import print_columns
from evomnas.cli.show import find_architecture


@app.command()
@reported
def push(
    folder: RunArgument,
    arch: Annotated[
        str,
        typer.Argument(
            metavar="ARCH", help="Network that evomnas train has trained.", autocompletion=completion.networks
        ),
    ],
    repository: Annotated[
        str, typer.Argument(metavar="REPO", help="Repository of the Hub, as someone/tiny-birds.", show_default=False)
    ],
    teacher: Annotated[
        bool, typer.Option("--teacher", help="Push the network that was trained with --teacher.")
    ] = False,
    epochs: EpochsOption = None,
    precision: TrainedPrecisionOption = None,
    settings: FullSettingsOption = None,
    license_name: Annotated[
        str | None,
        typer.Option(
            "--license", metavar="NAME", show_default=False,
            help="Licence in the card's head, by the Hub's name, as apache-2.0.",
        ),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent; send nothing.")] = False,
) -> None:  # fmt: skip
    """Put a trained network on the Hugging Face Hub: card, weights, and the files that evomnas export wrote."""
    from evomnas.deploy.hubs.repositories import check_repository

    changes = full_settings(epochs, settings, precision)
    check_repository(repository)  # this and what follows: before torch is loaded
    opened = open_run(folder)
    architecture = find_architecture(arch, opened)
    from evomnas.deploy.detection.detector_files import DETECTOR_MANIFEST
    from evomnas.deploy.folders.training_folders import find_training
    from evomnas.deploy.hubs.pushing import files_to_push, push_files
    from evomnas.deploy.saving import MODEL_MANIFEST

    finds = opened.trained_problem().detects
    manifest = DETECTOR_MANIFEST if finds else MODEL_MANIFEST
    training = find_training(opened, architecture, manifest, changes, teacher)
    if choice := training.describe_choice(changes, teacher):
        typer.echo(choice, err=True)
    files = files_to_push(training.folder, license_name)
    if dry_run:
        rows = [(name, f"{len(content) / 1024:,.1f}") for name, content in files.items()]
        print_columns(("file", "KiB"), rows, left=1)
        typer.echo(f"\nThese would go to {repository}. Nothing was sent.")
    else:
        typer.echo(f"Pushed:  {push_files(files, repository, private=private)}")
    if license_name is None and "\nlicense:" not in files["README.md"].decode():
        typer.echo("The card names no licence: --license NAME, or the line in README.md")
