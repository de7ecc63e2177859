"""A run with all that is needed of it, as one zip file or one folder.

Its archive holds the run's own evaluations, full trainings, contexts and what its report compares it with, and nothing
of other runs. Images are not packed.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Container, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from evomnas.core.errors import InputError
from evomnas.core.files import check_place, write_atomically, writing
from evomnas.data.gallery.listing import LISTING
from evomnas.problem.published import PUBLISHED_NETWORKS, fit_to_resolution, published
from evomnas.results.archive import Archive
from evomnas.results.certainty.confirmed import choices_alias, repeat_context
from evomnas.results.database.contexts import limited_context
from evomnas.results.manifest import MANIFEST
from evomnas.results.packing.content import ARCHIVE, FRONT, NETWORKS, REPORT, is_network_file
from evomnas.results.packing.unpack import packed_run_id
from evomnas.results.readers import full_training_alias, lineage_alias, trained_images_alias
from evomnas.results.run import Run

WHERE = "evomnas pack RUN FILE.zip"
MODEL_MANIFESTS = ("model.json", "detector.json")  # written last: a network's folder that has one is complete


@dataclass(frozen=True, slots=True)
class PackedRun:
    """A packed run.

    Attributes:
        path: The zip file or the folder.
        bytes: Its size.
        networks: Networks that the run evaluated.
        trained: Networks with weights in it.
        left_out_bytes: The size of states of trainings that have not ended, which are not in it.
    """

    path: Path
    bytes: int
    networks: int
    trained: int
    left_out_bytes: int


def pack(run: Run, out: Path) -> PackedRun:
    """Write a run with all that is needed of it.

    Args:
        run: The run.
        out: A name that ends in `.zip`, which may be that of an earlier pack of the same run; or a new folder.

    Returns:
        The packed run.

    Raises:
        InputError: There is something else at that place, or it cannot be made.
    """
    is_zip = out.suffix.lower() == ".zip"
    _check_free(run, out, is_zip)
    with writing(out, WHERE):
        return _write(run, out, is_zip)


def _write(run: Run, out: Path, is_zip: bool) -> PackedRun:
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        folder = temporary / (out.name if not is_zip else run.folder.resolve().name)
        folder.mkdir()
        _write_archive(run, folder / ARCHIVE)
        manifest = run.manifest.model_copy(update={"archive": ARCHIVE, "packed": None})
        write_atomically(folder / MANIFEST, json.dumps(manifest.to_json(), indent=2) + "\n")
        files = dict(_files(run.folder))
        if is_zip:
            _write_zip(folder, files, temporary / "packed.zip")
            (temporary / "packed.zip").replace(out)
        else:
            for name, path in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / name)
            folder.replace(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    size = out.stat().st_size if is_zip else sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    trained = sum(name.name in MODEL_MANIFESTS for name in files)
    left_out = sum(path.stat().st_size for path in run.folder.glob(f"{NETWORKS}/*/checkpoint.pt"))
    return PackedRun(out, size, run.manifest.evaluations, trained, left_out)


def _check_free(run: Run, out: Path, is_zip: bool) -> None:
    check_place(out, WHERE)
    if run.folder.resolve() in out.resolve().parents:
        raise InputError(f"{out} would lie in the run itself: name a place beside it")
    if not out.exists():
        return
    if not is_zip:
        raise InputError(f"{out} exists: name a new folder, or a file that ends in .zip")
    if packed_run_id(out) != run.record.id:
        raise InputError(f"{out} exists and is no earlier pack of {run.folder}: name another file")


def _files(folder: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """Yield the files of a run that are packed as they are, by their paths within its folder."""
    for name in (FRONT, REPORT, LISTING):
        if (folder / name).is_file():
            yield PurePosixPath(name), folder / name
    for manifest in _manifests(folder):
        for path in sorted(manifest.parent.iterdir()):
            if is_network_file(path.name) and path.is_file():
                yield PurePosixPath(NETWORKS, manifest.parent.name, path.name), path


def _manifests(folder: Path) -> list[Path]:
    """Return the files that describe the trained networks of a run."""
    return sorted(path for name in MODEL_MANIFESTS for path in folder.glob(f"{NETWORKS}/*/{name}"))


def _write_zip(folder: Path, files: dict[PurePosixPath, Path], out: Path) -> None:
    """Write the files of a folder and others into a zip file, as one folder."""
    own = {PurePosixPath(path.name): path for path in sorted(folder.iterdir())}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for name, path in {**own, **files}.items():
            archive.write(path, str(PurePosixPath(folder.name) / name))


def _write_archive(run: Run, path: Path) -> None:
    """Write the archive of one run: what it evaluated, and what its report compares it with."""
    source, record = run.archive, run.record
    contexts = {*run.training_contexts, record.measurement_context, *filter(None, [record.mode.lessons])}
    chosen = [choices_alias(record.id)] * bool(record.mode.confirm)
    for alias in chosen:
        contexts |= {repeat_context(source, run.trained_problem(), one) for one in run.training_contexts}
        contexts.update(source.alias_contexts(alias))
    networks = {ask.architecture for ask in run.asks} | {str(run.definition.reference(run.manifest.data))}
    lineages = {lineage_alias(record.id, one): one for one in sorted(networks)} if record.mode.inherits else {}
    descended = {key: [one] for alias, one in lineages.items() for key in source.alias_contexts(alias)}
    contexts.update(descended)
    aliases: list[str] = []
    if run.definition.trains:
        problem, images = run.trained_problem(), run.search_images_fingerprint
        aliases = [full_training_alias(problem, images), trained_images_alias(images)]
        networks |= {str(fit_to_resolution(published(name), problem.data.resolution)) for name in PUBLISHED_NETWORKS}
    full_contexts = {key for alias in aliases for key in source.alias_contexts(alias)}
    full_contexts.update(_contexts_of_networks(run.folder))
    networks |= {notation for context in full_contexts for notation in source.full_trainings(context)}
    with closing(Archive(path)) as target:

        def copy(table: str, column: str = "", among: Container[str] = (), **key: str) -> None:
            rows = source.rows(table, **key)
            target.add_rows(table, (row for row in rows if not column or row[column] in among))

        copy("runs", id=record.id)
        for table in ("asks", "tells", "generations", "cuts"):
            copy(table, run=record.id)
        for context in sorted({*contexts, *full_contexts}):
            copy("contexts", key=context)
        for context in sorted(contexts):
            copy("calibrations", context=context)
            copy("layers", context=context)
            copy("lookups", "architecture", networks, context=context)
            for key in (context, limited_context(context, record.candidates)):
                copy("measurements", "architecture", networks, context=key)
                copy("trainings", "architecture", networks, context=key)
            copy("answers", "network", networks, context=context)
            copy("findings", "network", networks, context=context)
        for context in sorted(full_contexts):
            copy("full_trainings", context=context)
            copy("answers", context=context)
            copy("findings", context=context)
        trained = {record.training_context: sorted(networks)} | descended
        for images, places in _pictured(source, trained, dict.fromkeys(full_contexts, sorted(networks))).items():
            copy("class_names", images=images)
            pictures = {place: source.picture(images, place) for place in sorted(places)}
            target.add_pictures(images, {place: content for place, content in pictures.items() if content is not None})
        for alias in (*aliases, *lineages, *chosen):
            copy("aliases", alias=alias)
        target.make_portable()


def _pictured(
    source: Archive, trained: Mapping[str, list[str]], trained_in_full: Mapping[str, list[str]]
) -> dict[str, set[int]]:
    """Return the images that reports show, as places by the fingerprint of all images; networks are by contexts."""
    pictured: dict[str, set[int]] = {}
    splits = [(split, *one) for split, group in (("data", trained), ("test", trained_in_full)) for one in group.items()]
    for split, context, networks in splits:
        images = source.context(context).get(split)
        if images is not None:
            answers = filter(None, (source.answers(context, notation) for notation in networks))
            found = filter(None, (source.findings(context, notation) for notation in networks))
            places = {mistake.image for one in answers for mistake in one.mistakes}
            places |= {image.place for one in found for image in one.shown}
            pictured.setdefault(str(images), set()).update(places)
    return pictured


def _contexts_of_networks(folder: Path) -> list[str]:
    """Return the contexts of trained networks, of which older versions left some without an alias."""
    contexts = []
    for path in _manifests(folder):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue  # whoever wants the network says what is wrong with it
        if isinstance(content, dict):
            contexts += [content[name] for name in ("key", "scored") if isinstance(content.get(name), str)]
    return contexts
