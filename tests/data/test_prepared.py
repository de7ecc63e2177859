"""Prepared images are what would be read into memory, whatever happened while they were written or since then."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evomnas.core.errors import InputError
from evomnas.data.gallery import reading
from evomnas.data.gallery.layout import find_layout
from evomnas.data.photographs import Preprocessing
from evomnas.data.prepared import cache, chunks, copies, pictures
from evomnas.data.prepared import places as places_of_sets
from evomnas.data.prepared.chunks import RECORD, Chunk, Destination, write_chunk
from evomnas.data.prepared.notices import listening
from evomnas.data.prepared.pictures import read_pictures
from evomnas.data.prepared.source import FileSource
from evomnas.data.rows import ImageRows, MappedImages, resize_array
from evomnas.data.splits import load_dataset, load_training_images
from evomnas.deploy.testsplit import load_test_images
from evomnas.problem.sections import DataSection

SQUARE = Preprocessing(channels=3, resolution=6, fit="crop")
COUNT = 44


@pytest.fixture
def photos(tmp_path):
    """Pictures of two classes that differ, in files of several kinds."""
    rng = np.random.default_rng(3)
    for number in range(COUNT):
        path = tmp_path / "photos" / f"class{number % 2}" / f"{number:02}.{'jpg' if number % 3 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 7 + number, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


@pytest.fixture
def small_chunks(monkeypatch, tmp_path):
    """All sets are prepared, in chunks of a few pictures, in a folder of the test's own."""
    monkeypatch.setattr(pictures, "SMALL_BYTES", 0)
    monkeypatch.setattr(pictures, "CHUNK_PICTURES", 5)
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def files(folder: Path) -> FileSource:
    return FileSource.of(folder, sorted(path for path in folder.rglob("*.*")))


def read(folder: Path, keep: np.ndarray | None = None) -> pictures.Pictures:
    source = files(folder)
    return read_pictures(source, np.ones(len(source.files), bool) if keep is None else keep, SQUARE, "photos")


def in_memory(folder: Path) -> pictures.Pictures:
    source = files(folder)
    return pictures._read_into_memory(source, np.ones(len(source.files), bool), SQUARE)


def check_equal(found: pictures.Pictures, expected: pictures.Pictures) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def only_set(folder: Path) -> Path:
    [found] = folder.iterdir()
    return found


def section(folder: Path, **settings: object) -> DataSection:
    return DataSection(dataset="image-folder", path=folder, resolution=6, **settings)


@pytest.mark.parametrize("settings", [{}, {"rules": 1}, {"folds": 3}, {"train_images": 10}, {"duplicates": "drop"}])
def test_searches_and_trainings_see_the_same_images_as_in_memory(photos, small_chunks, monkeypatch, settings):
    shutil.copy(photos / "class0/00.png", photos / "class0/again.png")
    data, expected = section(photos, **settings), {}
    for limit in (2**30, 0):
        monkeypatch.setattr(pictures, "SMALL_BYTES", limit)
        dataset, training = load_dataset(data), load_training_images(data)
        test = load_test_images(data, training)
        arrays = [dataset.train_images, dataset.validation_images, training.images, test.images]
        labels = [dataset.train_labels, dataset.validation_labels, dataset.folds, training.labels, test.labels]
        fingerprints = [dataset.fingerprint, training.fingerprint, test.fingerprint]
        expected[limit] = [one.tobytes() for one in map(np.asarray, (*arrays, *labels))], fingerprints
        assert {one.path is None for one in arrays} == {limit > 0}
    assert expected[0] == expected[2**30]


def test_a_folder_with_splits_of_its_own_keeps_no_pixels_of_test_images(tmp_path, photos, small_chunks):
    for split in ("train", "val", "test"):
        shutil.copytree(photos, tmp_path / "splits" / split)
        for number, path in enumerate(sorted((tmp_path / "splits" / split).rglob("*.*"))):
            with Image.open(path) as image:
                image.rotate(90 * ("train", "val", "test").index(split)).save(path)
            if number % 2:
                path.unlink()
    training = load_training_images(section(tmp_path / "splits"))
    assert len(training.images) == len(training.images.array) == 2 * 22
    test = load_test_images(section(tmp_path / "splits"), training)
    assert len(test.images.array) == 22
    assert not {one.tobytes() for one in test.images} & {one.tobytes() for one in training.images.array}


def test_a_prepared_set_is_opened_without_a_look_at_its_pictures(photos, small_chunks, monkeypatch):
    first = load_dataset(section(photos))
    fingerprint = first.fingerprint

    def refuse(*arguments):
        raise AssertionError("a picture was opened, or all of them hashed")

    for place in ("PIL.Image.open", "evomnas.data.rows.ImageRows.chunks"):
        monkeypatch.setattr(place, refuse)
    again = load_dataset(section(photos))
    assert again.fingerprint == fingerprint
    np.testing.assert_array_equal(again.train_images, first.train_images)


def change_nothing(folder: Path) -> None:
    """The folder stays as it is."""


def add_a_hidden_file(folder: Path) -> None:
    (folder / ".DS_Store").write_text("")


def touch(folder: Path) -> None:
    os.utime(folder / "class0/00.png", ns=(0, 0))


def remove(folder: Path) -> None:
    (folder / "class0/00.png").unlink()


def link_a_folder(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    (folder / "link").symlink_to(folder.parent / "elsewhere", target_is_directory=True)


@pytest.mark.parametrize("change", [change_nothing, add_a_hidden_file, touch, remove, link_a_folder])
def test_what_was_found_in_a_folder_is_recalled_while_nothing_changes(photos, small_chunks, monkeypatch, change):
    first = load_training_images(section(photos))
    change(photos)
    looked = []
    monkeypatch.setattr(reading, "find_layout", lambda root: looked.append(root) or find_layout(root))
    again = load_training_images(section(photos))
    assert bool(looked) == (change is not change_nothing)
    assert len(again.labels) == len(first.labels) - (change is remove and "class0/00.png" in first.origin.files)
    if change is not remove:
        assert (again.fingerprint, again.classes, again.fit) == (first.fingerprint, first.classes, first.fit)
        assert (again.origin.files, again.origin.validates) == (first.origin.files, first.origin.validates)
        np.testing.assert_array_equal(again.origin.keys, first.origin.keys)
        assert (again.origin.found == first.origin.found) == (change not in (add_a_hidden_file, link_a_folder))
    dropped = load_training_images(section(photos, duplicates="drop"))
    assert len(looked) == 1 + (change is not change_nothing)  # other settings are another question
    assert len(dropped.labels) == len(again.labels)


@pytest.mark.parametrize("damage", ["reading", "set", "both"])
def test_what_cannot_be_recalled_is_found_anew(photos, small_chunks, damage):
    first = load_training_images(section(photos))
    [kept] = (small_chunks / "readings").iterdir()
    if damage in ("reading", "both"):
        kept.write_bytes(kept.read_bytes()[:500])
    if damage in ("set", "both"):
        shutil.rmtree(first.images.path.parent)
    again = load_training_images(section(photos))
    assert again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(again.images, load_training_images(section(photos)).images)


def test_a_set_is_found_by_names_sizes_times_and_preprocessing(photos, small_chunks, tmp_path):
    first = files(photos)
    everything = np.ones(len(first.files), bool)
    key = cache.set_key(first, everything, SQUARE)
    moved = tmp_path / "moved"
    photos.rename(moved)
    assert cache.set_key(files(moved), everything, SQUARE) == key
    other_keys = {
        cache.set_key(files(moved), everything, Preprocessing(channels=3, resolution=7, fit="crop")),
        cache.set_key(files(moved), everything, Preprocessing(channels=1, resolution=6, fit="crop")),
        cache.set_key(files(moved), np.arange(len(everything)) > 0, SQUARE),
    }
    path = moved / first.files[0]
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    other_keys.add(cache.set_key(files(moved), everything, SQUARE))
    path.rename(path.with_name("renamed.png"))
    other_keys.add(cache.set_key(files(moved), everything, SQUARE))
    assert len(other_keys | {key}) == 6


def test_what_is_torn_or_missing_is_read_again_and_nothing_else(photos, small_chunks, monkeypatch):
    source, expected = files(photos), in_memory(photos)
    everything = np.ones(COUNT, bool)
    folder = small_chunks / cache.set_key(source, everything, SQUARE)
    destination = Destination(folder / "images.partial", folder / "pictures.partial", SQUARE)
    folder.mkdir(parents=True)
    pictures._begin(folder, destination, (COUNT, *SQUARE.shape), COUNT)
    for chunk in list(pictures._chunks(source, everything))[2:]:
        assert write_chunk(destination, chunk) == (len(chunk.keep), [])
    with destination.images.open("r+b") as file:  # a pixel of the last picture, as if its page had been lost
        file.seek(-1, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    with destination.records.open("r+b") as file:  # half a record of the one before it
        file.seek(-2 * RECORD.itemsize, os.SEEK_END)
        file.write(bytes(RECORD.itemsize // 2))
    read_again = []
    monkeypatch.setattr(pictures, "_workers", lambda: ThreadPoolExecutor(1))
    opened = chunks.open_photograph
    monkeypatch.setattr(chunks, "open_photograph", lambda path, *rest: read_again.append(path) or opened(path, *rest))
    check_equal(read(photos), expected)
    assert read_again == [photos / source.files[place] for place in (*range(10), COUNT - 2, COUNT - 1)]
    assert sorted(path.name for path in folder.iterdir()) == ["facts.json", "images.npy", "lock", "pictures.npy"]


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_prepared import pictures, read
pictures.SMALL_BYTES, pictures.CHUNK_PICTURES = 0, 3
print("ready", flush=True)
read(Path({photos!r}))
"""


@pytest.mark.thorough
def test_whoever_is_killed_at_whatever_moment_leaves_what_the_next_one_completes(photos, small_chunks):
    code = KILLED.format(tests=str(Path(__file__).parent), photos=str(photos))
    expected, rng = in_memory(photos), np.random.default_rng(5)
    for delay in (*rng.uniform(0.0, 1.0, 8), 0.3, 0.4, 0.5):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ)
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    check_equal(read(photos), expected)


def test_a_damaged_set_is_made_anew_and_that_is_said(photos, small_chunks):
    expected = in_memory(photos)
    check_equal(read(photos), expected)
    folder = only_set(small_chunks)

    def overwrite(path: Path) -> None:
        path.write_bytes(bytes(path.stat().st_size))

    def flip(path: Path) -> None:
        content = np.fromfile(path, dtype=np.uint8)
        content[-COUNT * 3 * 6 * 6 :: 7] ^= 1
        content.tofile(path)

    damages = [
        lambda: overwrite(folder / "images.npy"),
        lambda: flip(folder / "images.npy"),
        lambda: os.truncate(folder / "images.npy", 1000),
        lambda: (folder / "images.npy").unlink(),
        lambda: overwrite(folder / "pictures.npy"),
        lambda: (folder / "pictures.npy").write_bytes(b""),
        lambda: (folder / "facts.json").write_text("{}"),
    ]
    for damage in damages:
        damage()
        events = []
        with listening(events.append):
            check_equal(read(photos), expected)
        assert next(one.event for one in events if one.event) == (
            f"prepared images in {folder} are damaged: they are made anew"
        )
        with listening(events.append):
            del events[:]
            check_equal(read(photos), expected)
        assert events == []


def test_those_who_wait_are_told_what_is_written_where_and_for_how_long(photos, small_chunks):
    notices = []
    with listening(notices.append):
        read(photos)
    first, last = notices[0], notices[-1]
    assert first.describe() == (
        f"Preparing {COUNT} images once, about 1 s on {pictures.usable_cores()} cores: 0.0 GiB in {small_chunks}"
    ).replace("on 1 cores", "on 1 core")
    assert (first.done, last.done, last.images, last.bytes) == (0, COUNT, COUNT, COUNT * 3 * 6 * 6)


def test_several_that_prepare_the_same_at_once_have_it_once(photos, small_chunks):
    expected = in_memory(photos)
    with ThreadPoolExecutor(3) as threads:
        for found in threads.map(read, [photos] * 3):
            check_equal(found, expected)
    assert len(list(small_chunks.iterdir())) == 1


def test_others_wait_for_the_one_that_prepares(photos, small_chunks):
    expected = in_memory(photos)
    folder = small_chunks / cache.set_key(files(photos), np.ones(COUNT, bool), SQUARE)
    events, waits = [], threading.Event()

    def listen(notice):
        events.append(notice.event)
        waits.set()

    def other():
        with listening(listen):
            return read(photos)

    with ThreadPoolExecutor(1) as thread:
        with places_of_sets.locked(folder, 0, COUNT):
            future = thread.submit(other)
            assert waits.wait(60)
            assert events == [f"another process prepares the images in {folder}: waiting for it"]
        check_equal(future.result(), expected)


def test_all_pictures_that_cannot_be_read_are_named_and_only_those_read_again(photos, small_chunks, monkeypatch):
    broken = [photos / "class0/02.jpg", photos / "class1/01.jpg"]
    for path in broken:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=rf"^2 of {COUNT} images cannot be read, remove or replace them: .*") as error:
        read(photos)
    assert all(str(path) in str(error.value) for path in broken)
    monkeypatch.setattr(pictures, "_workers", lambda: ThreadPoolExecutor(1))
    opened, read_again = chunks.open_photograph, []
    monkeypatch.setattr(chunks, "open_photograph", lambda path, *rest: read_again.append(path) or opened(path, *rest))
    with pytest.raises(InputError, match="^2 of"):
        read(photos)
    assert read_again == broken


@pytest.mark.parametrize("change", ["touched", "removed", "rewritten"])
def test_a_file_that_changes_meanwhile_ends_the_preparation(photos, small_chunks, change):
    source = files(photos)
    path = photos / source.files[1]
    if change == "touched":
        os.utime(path, ns=(0, 0))
    elif change == "removed":
        path.unlink()
    else:
        shutil.copy(photos / source.files[5], path)
    with pytest.raises(InputError, match=f"{path} was changed or removed while images were read: start again when"):
        read_pictures(source, np.ones(COUNT, bool), SQUARE, "photos")
    if change != "removed":
        check_equal(read(photos), in_memory(photos))


def test_without_room_on_the_disk_nothing_is_written(photos, small_chunks, monkeypatch):
    monkeypatch.setattr(places_of_sets, "free_bytes", lambda path: 1000)
    monkeypatch.setattr(pictures, "free_memory_gib", lambda: 0.0)
    message = (
        rf"{COUNT} prepared images need 0\.0 GiB in {small_chunks}, and 0\.0 GiB are free: use smaller ones "
        r"\(data\.resolution\), make room .*, or set EVOMNAS_IMAGE_CACHE to a folder on a larger disk"
    )
    with pytest.raises(InputError, match=message):
        read(photos)
    assert [path.name for path in only_set(small_chunks).iterdir()] == ["lock"]
    monkeypatch.setattr(pictures, "free_memory_gib", lambda: 1.0)
    events = []
    with listening(lambda notice: events.append(notice.event)):
        check_equal(read(photos), in_memory(photos))
    assert len(events) == 1
    assert events[0].endswith("a larger disk; until then they are kept in memory")


def test_a_cache_that_cannot_be_written_to_is_named(photos, small_chunks, monkeypatch):
    small_chunks.write_text("a file")
    monkeypatch.setattr(pictures, "free_memory_gib", lambda: 0.0)
    with pytest.raises(InputError, match=f"prepared images cannot be kept in {small_chunks} .*set EVOMNAS_IMAGE_CACHE"):
        read(photos)


def test_pictures_come_from_files_their_content_or_opened_ones(photos, small_chunks, monkeypatch):
    expected, source = in_memory(photos), files(photos)
    for convert in (Path.read_bytes, lambda path: Image.open(io.BytesIO(path.read_bytes()))):
        monkeypatch.setattr(FileSource, "read", lambda self, to=convert: (to(self.root / one) for one in self.files))
        found = pictures._read_into_memory(source, np.ones(COUNT, bool), SQUARE)
        check_equal(found, expected)


def test_a_preparation_in_a_process_that_may_start_none_is_the_same(photos, small_chunks, monkeypatch):
    def refuse(preload):
        raise InputError("this process may start no others")

    monkeypatch.setattr(pictures, "start_context", refuse)
    check_equal(read(photos), in_memory(photos))


def test_a_chunk_without_wanted_pixels_has_keys_and_sizes(photos, small_chunks):
    keep = np.arange(COUNT) % 11 == 3
    found, expected = read(photos, keep), in_memory(photos)
    np.testing.assert_array_equal(found.images, expected.images[keep])
    np.testing.assert_array_equal(found.keys, expected.keys)
    np.testing.assert_array_equal(found.sizes, expected.sizes)


def test_a_full_disk_is_an_error_with_its_place(photos, small_chunks):
    if not Path("/dev/full").exists():
        pytest.skip("there is no file on a full disk")
    destination = Destination(small_chunks / "images", small_chunks / "records", SQUARE)
    small_chunks.mkdir()
    pictures._begin(small_chunks, destination, (COUNT, *SQUARE.shape), COUNT)
    destination.records.unlink()
    destination.records.symlink_to("/dev/full")
    chunk = Chunk(files(photos).part(0, 5), np.ones(5, bool), 0, 0)
    with pytest.raises(OSError, match=f"No space left on device: '{destination.images}'"):
        write_chunk(destination, chunk)


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_copy_of_a_set_comes_in_parts_and_is_checked(photos, small_chunks, monkeypatch, is_begun):
    monkeypatch.setattr(copies, "COPIED_IMAGES", 7)
    keep = np.arange(COUNT) % 4 > 0
    expected = read(photos, keep)
    folder = expected.images.path.parent
    facts, records = cache.read_facts(folder)
    monkeypatch.setenv(cache.VARIABLE, str(small_chunks / "copy"))
    asked = []

    def fetch(start: int, stop: int) -> np.ndarray:
        asked.append((start, stop))
        if is_begun and len(asked) == 3:
            raise InterruptedError
        return np.array(expected.images.array[start:stop])

    if is_begun:
        with pytest.raises(InterruptedError):
            copies.receive_set(folder.name, facts, records, fetch)
    copied = copies.receive_set(folder.name, facts, records, fetch)
    parts = [(start, min(start + 7, 33)) for start in range(0, 33, 7)]
    assert asked == (parts[:3] + parts[2:] if is_begun else parts)  # what came before it was interrupted came once
    assert copied.path == small_chunks / "copy" / folder.name / "images.npy"
    np.testing.assert_array_equal(copied.array, expected.images)
    assert copies.receive_set(folder.name, facts, records, fetch) == copied == copies.find_copy(folder.name)
    check_equal(read(photos, keep), expected)  # and it is a set as any other
    assert len(asked) == 5 + is_begun


def test_a_copy_that_comes_damaged_is_refused(photos, small_chunks, monkeypatch):
    expected = read(photos)
    folder = expected.images.path.parent
    monkeypatch.setenv(cache.VARIABLE, str(small_chunks / "copy"))
    with pytest.raises(OSError, match="the prepared images of photos are damaged where they come from"):
        copies.receive_set(folder.name, *cache.read_facts(folder), lambda start, stop: ~expected.images[start:stop])
    assert copies.find_copy(folder.name) is None


places = st.one_of(
    st.integers(0, 6), st.slices(7), st.lists(st.integers(0, 6)).map(lambda one: np.array(one, dtype=np.int64)),
    st.lists(st.booleans(), min_size=7, max_size=7).map(np.array),
)  # fmt: skip


@given(rows=st.lists(st.integers(0, 9), min_size=7, max_size=7), place=places, resolution=st.sampled_from([None, 3]))
def test_rows_of_images_are_what_numpy_has(rows, place, resolution):
    array = np.random.default_rng(1).integers(0, 256, (10, 2, 4, 4), dtype=np.uint8)
    images, expected = ImageRows(array, np.array(rows), resolution), array[rows]
    if resolution is not None:
        expected = resize_array(expected, resolution)
    assert (images.shape, len(images), images.nbytes) == (expected.shape, 7, expected.nbytes)
    np.testing.assert_array_equal(images[place], expected[place])
    np.testing.assert_array_equal(images[place, 1, :2], expected[place, 1, :2])
    np.testing.assert_array_equal(np.concatenate([*images.chunks()]), expected)
    np.testing.assert_array_equal(np.stack([*images]), np.asarray(images))
    if not isinstance(place, int):
        np.testing.assert_array_equal(images.select(place), expected[place])


def test_mapped_images_travel_by_their_path_and_cannot_be_written_to(tmp_path, monkeypatch):
    path = tmp_path / "images.npy"
    np.save(path, np.arange(2 * 3 * 50 * 50, dtype=np.uint8).reshape(2, 3, 50, 50))
    images = ImageRows.all(MappedImages(path))
    assert images.array.flags.writeable is False
    content = pickle.dumps(images)
    assert len(content) < 2000
    np.testing.assert_array_equal(pickle.loads(content), images)
    assert images.resize(50) is images
    for limit, place in ((0, path), (2**20, None)):
        monkeypatch.setattr("evomnas.data.rows.RESIZED_BYTES", limit)
        resized = images.resize(20)
        assert (resized.path, resized.shape) == (place, (2, 3, 20, 20))
        np.testing.assert_array_equal(resized, resize_array(images[:], 20))
