"""What the report says of classes: its data against scikit-learn, and the page in a browser, with few and many."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
from accessibility import serious
from PIL import Image
from sklearn import metrics

from evomnas.data.splits import load_dataset
from evomnas.deploy.trained_networks import train_networks
from evomnas.loop.launch import search
from evomnas.problem.loading import validate_definition
from evomnas.report.classes import class_data as module
from evomnas.report.classes.class_data import class_data
from evomnas.report.classes.class_words import constant_answer_line
from evomnas.report.run_report import write_report
from evomnas.results.full_trainings import fully_trained
from evomnas.results.run import Run
from evomnas.training.proxy_task import ProxyTask

LONG = "a class whose name is long, <b>bold</b> and holds a word-that-no-browser-breaks-of-its-own-accord"


@pytest.fixture(scope="module")
def many(tiny, tmp_path_factory):
    """A search of two networks on 30 classes with long names, one of them trained in full, and its page."""
    root, rng = tmp_path_factory.mktemp("many"), np.random.default_rng(3)
    for label in range(30):
        folder = root / "photos" / f"{label:02} {LONG}".replace("/", "-")
        folder.mkdir(parents=True)
        for number in range(6):
            pixels = rng.normal(8 * label, 30, (9, 9, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    values = tiny.model_dump(mode="json", exclude_none=True)
    values["data"] = {"dataset": "image-folder", "path": str(root / "photos"), "resolution": 8, "validation": 0.5}
    values["full"] |= {"epochs": 2}
    run = search(validate_definition(values), "random", budget=2, seed=1, out=root / "run")
    list(train_networks(run, [run.front()[0].evaluation.architecture], device="cpu"))
    write_report(run)
    return run


def read_data(run: Run) -> dict:
    text = write_report(run).read_text()
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_the_front_and_the_reference_are_described_on_the_validation_images(finished_run):
    results = finished_run.results()
    part = class_data(finished_run, results, [])["validation"]
    dataset, definition = load_dataset(finished_run.definition.data), finished_run.definition
    described = {result.evaluation.architecture.id for result in results if result.on_front} | {
        finished_run.reference_id
    }
    assert set(part["networks"]) == described
    assert part["counts"] == np.bincount(dataset.validation_labels).tolist()
    assert part["names"] == list(dataset.classes)
    assert part["total"] == len(dataset.validation_labels)
    assert f"has {max(part['counts']) / part['total']:.1%}." in part["majority"]
    best = finished_run.front(results)[-1].evaluation
    answers = ProxyTask(dataset, definition.data, definition.training).train(best.architecture).answers
    network = part["networks"][best.architecture.id]
    assert network["matrix"] == answers.confusion.dense().tolist()
    recall = np.diag(network["matrix"]) / np.sum(network["matrix"], axis=1)
    np.testing.assert_allclose(network["recall"], 100 * recall, atol=0.051)
    for image, label, answer, _ in network["mistakes"]:
        assert dataset.validation_labels[image] == label != answer
        content = base64.b64decode(part["pictures"][image].partition(",")[2])
        with Image.open(io.BytesIO(content)) as picture:
            np.testing.assert_array_equal(np.asarray(picture)[::6, ::6], dataset.validation_images[image, 0])


def test_what_was_trained_in_full_is_described_on_the_test_images(finished_run, trained, task):
    networks = fully_trained(finished_run)
    part = class_data(finished_run, finished_run.results(), networks)["test"]
    assert list(part["networks"]) == [one.name for one in networks]
    answers = task.predictions(trained_classifier(trained)).classes
    matrix = metrics.confusion_matrix(task.test.labels, answers)
    [name] = [
        one.name for one in networks if one.notation == str(trained.network)
    ]  # its id, unless it is the reference
    assert part["networks"][name]["matrix"] == matrix.tolist()
    assert part["images"] == "test images"


def trained_classifier(trained):
    from evomnas.deploy.saving import load_network

    return load_network(trained.folder)


@pytest.fixture(scope="module")
def task(finished_run):
    from evomnas.deploy.full_training import FullTask

    return FullTask(finished_run.definition, "cpu")


def test_pictures_and_recalls_have_limited_room_and_the_worst_mistakes_come_first(finished_run, monkeypatch):
    results = finished_run.results()
    whole = class_data(finished_run, results, [])["validation"]
    worst = {network["mistakes"][0][0] for network in whole["networks"].values()}
    room = sum(len(whole["pictures"][place]) for place in worst)
    monkeypatch.setattr(module, "MAX_PICTURE_BYTES", room)
    monkeypatch.setattr(module, "MAX_RECALLS", 30)
    small = class_data(finished_run, results, [])["validation"]
    assert len(small["networks"]) == min(3, len(whole["networks"]))
    assert sum(map(len, small["pictures"].values())) <= room
    assert {network["mistakes"][0][0] for network in small["networks"].values()} <= set(small["pictures"])


def test_a_run_without_answers_or_of_a_table_has_nothing_about_classes(shown_run, tabular_file, tmp_path):
    assert class_data(shown_run, shown_run.results(), []) == {"validation": None, "test": None}
    run = search(tabular_file, "random", budget=5, out=tmp_path / "run")
    assert read_data(run)["classes"] == {"validation": None, "test": None}
    assert constant_answer_line(run) == ""


def test_the_majority_stands_in_the_headline_of_the_page(finished_run, many):
    for run in (finished_run, many):
        line = constant_answer_line(run)
        assert re.fullmatch(r"Answering '.*' to every image has \d+\.\d%\.", line)
    title = re.search(r"<h1>(.*?)</h1>", (many.folder / "report.html").read_text(), re.DOTALL)[1]
    assert "&lt;b&gt;bold" in title
    assert f"to every image has {many.image_data.constant_answer.images / many.image_data.validation:.1%}." in title


@pytest.mark.parametrize(("scheme", "width"), [pytest.param("light", 1280, marks=pytest.mark.thorough), ("dark", 390)])
def test_few_classes_are_shown_as_a_matrix_with_pictures_and_follow_what_is_picked(
    visit, finished_run, trained, scheme, width
):
    page = visit(write_report(finished_run), scheme, width)
    page.wait_for_selector("#classes table")
    part = read_data(finished_run)["classes"]["validation"]
    a, b = (page.locator(f"#name-{slot}").inner_text() for slot in "ab")
    recalls = page.locator("#classes .recalls tbody tr").all_inner_texts()
    for label, row in enumerate(recalls):
        shares = [f"{part['networks'][name]['recall'][label]:.1f} %" for name in dict.fromkeys((a, b))]
        assert row.split("\t") == [part["names"][label], str(part["counts"][label]), *shares]
    shown = page.locator("#classes .shares").first.locator("tbody tr").all_inner_texts()
    for label, row in enumerate(shown):
        counts = [int(cell or 0) for cell in row.split("\t")[1:]]
        assert counts == part["networks"][a]["matrix"][label]
    pictures = page.locator("#classes figure").first.locator("img")
    assert pictures.count() == len(part["networks"][a]["mistakes"])
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 8)")
    assert "0" in page.locator("#shipped-classes .shares").inner_text()
    page.locator("#pareto").focus()
    page.keyboard.press("Home")
    first = page.locator("#name-a").inner_text()
    assert page.locator("#classes .recalls tbody tr").first.inner_text().split("\t")[2] == (
        f"{part['networks'][first]['recall'][0]:.1f} %"
    )
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert serious(page) == []


@pytest.mark.parametrize(("scheme", "width"), [pytest.param("dark", 1280, marks=pytest.mark.thorough), ("light", 390)])
def test_many_classes_are_shown_as_the_worst_and_the_most_confused(visit, many, scheme, width):
    path = many.folder / "report.html"
    page = visit(path, scheme, width)
    page.wait_for_selector("#classes table")
    part = read_data(many)["classes"]["validation"]
    name = page.locator("#name-a").inner_text()
    recall = part["networks"][name]["recall"]
    rows = page.locator("#classes .recalls tbody tr").all_inner_texts()
    assert [float(row.split("\t")[2].rstrip(" %")) for row in rows] == sorted(recall)[:15]
    assert f"the median recall is {np.median(recall):.1f} %" in page.locator("#classes").inner_text()
    assert "Of 30 classes, these are recognised least" in page.locator("#classes").inner_text()
    pairs = page.locator("#classes figure").first.locator("tbody tr").all_inner_texts()
    assert len(pairs) == 15
    assert page.locator("#shipped-classes .recalls tbody tr").count() == 15
    assert page.locator("main b", has_text="bold").count() == page.locator("main b", has_text="a class").count()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert serious(page) == []
    assert path.stat().st_size < 6_000_000


@pytest.mark.thorough
def test_a_network_that_is_not_described_says_so(visit, finished_run):
    results = finished_run.results()
    page = visit(write_report(finished_run))
    page.wait_for_selector("#classes table")
    page.locator("#all").check()
    described = {result.evaluation.architecture.id for result in finished_run.explained(results)}
    other = next(one.evaluation.architecture.id for one in results if one.evaluation.architecture.id not in described)
    page.locator(f"#networks .pick:text-is('{other}')").click()
    assert "not those of A." in page.locator("#classes-note").inner_text()
    assert page.locator("#classes figure").count() == 1


@pytest.mark.thorough
def test_another_score_is_named_all_over_the_page(visit, rare, tmp_path):
    data = rare.data.model_copy(update={"score": "balanced-accuracy"})
    run = search(rare.model_copy(update={"data": data}), "random", budget=2, seed=1, out=tmp_path / "run")
    page = visit(write_report(run))
    page.wait_for_selector("#classes table")
    best = run.front()[-1].evaluation
    table = page.locator("#networks").inner_text()
    assert f"{100 * best.score:.2f} %" in table
    assert f"{100 * best.trained.accuracy:.2f} %" in table
    assert page.locator("#networks thead").inner_text().split("\t")[1:3] == ["balanced accuracy", "accuracy"]
    assert ", the best " in page.locator("h1").inner_text() or len(run.front()) == 1
    assert "most accurate" not in page.locator("main").inner_text()
    assert "standard error of the balanced accuracy" in page.locator("main").inner_text()
    assert "97.0% accuracy and 50.0% balanced accuracy" in page.locator("#pick").inner_text()
    assert "balanced accuracy" in page.locator("#pareto").get_attribute("aria-label")
