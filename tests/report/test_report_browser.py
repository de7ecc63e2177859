"""The report in a real browser: it opens from disk, and one picks, compares, sorts and copies by mouse and keyboard.

The thorough part opens it at more widths, each in light and dark, and with thousands of networks.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
from accessibility import hidden_columns, serious, sticking_out

from evomnas.deploy.trained_networks import knee_network
from evomnas.loop.launch import search
from evomnas.report.run_report import write_report
from evomnas.results.evaluation import FullTraining, Score
from evomnas.results.records import Ask
from evomnas.results.run import Result, Run, rank


@pytest.fixture(scope="module")
def path(shown_run):
    return shown_run.folder / "report.html"


@pytest.fixture(scope="module")
def results(shown_run):
    return shown_run.results()


@pytest.fixture(scope="module")
def front(shown_run, results):
    """Ids of the front, fastest first."""
    return [result.evaluation.architecture.id for result in shown_run.front(results)]


def picked(page) -> list[str]:
    """The ids of A and B."""
    return [page.locator(f"#name-{slot}").inner_text() for slot in "ab"]


def rank_again(results: list[Result]) -> list[Result]:
    """A part of a run's results, with a front of its own."""
    return rank([(Ask(one.order, one.generation, str(one.evaluation.architecture)), one.evaluation) for one in results])


def ready(page):
    page.wait_for_selector("#facts tbody tr")
    return page


PAGES = [("light", 1280), ("dark", 390)]
OTHER_PAGES = [
    page for page in itertools.product(("light", "dark"), (320, 360, 390, 768, 1280, 1920)) if page not in PAGES
]


@pytest.mark.parametrize(
    ("scheme", "width"), [*PAGES, *(pytest.param(*page, marks=pytest.mark.thorough) for page in OTHER_PAGES)]
)
def test_it_opens_from_disk_shows_every_network_and_can_be_used_by_all(visit, path, results, scheme, width):
    page = ready(visit(path, scheme, width))
    done = [result for result in results if result.evaluation.losses is not None]
    points = page.locator("#pareto .scatterlayer .points path.point")
    assert points.count() == len(done) + 1  # the reference network has a mark of its own
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert sticking_out(page) == []
    assert hidden_columns(page) == []
    assert serious(page) == []


@pytest.mark.thorough
def test_names_without_a_space_fit_a_phone_and_numbers_come_before_them(visit, tmp_path):
    """A table's own names: of its problem, genes, choices and costs."""
    genes = [f"a_very_long_name_of_a_gene_{number}" for number in range(6)]
    rows = [f"{','.join(f'a-long-choice-{one}' for one in row)},{40 + sum(row)},{10**6 * (1 + sum(row))}"
            for row in itertools.product(range(2), repeat=6)]  # fmt: skip
    cost = "energy_of_an_inference_in_nanojoules_on_the_board"
    (tmp_path / "table.csv").write_text("\n".join([",".join([*genes, "top1", cost]), *rows]) + "\n")
    (tmp_path / "long.toml").write_text(
        f"""
name = "{"a-long-name-" * 5}"
[table]
path = "table.csv"
genes = {genes}
objectives = [
    {{ column = "top1", direction = "maximize", scale = 0.01 }}, {{ column = "{cost}", direction = "minimize" }},
]
"""
    )
    run = search(tmp_path / "long.toml", "nsga2", budget=40, out=tmp_path / "run")
    page = ready(visit(write_report(run), width=390))
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert sticking_out(page) == []
    assert hidden_columns(page) == []
    titles = page.locator("#networks thead button").all_inner_texts()
    assert titles == ["id", "accuracy (%)".replace("accuracy", "top1"), cost, "generation", "network"]


@pytest.mark.thorough
def test_what_is_printed_is_as_wide_as_the_paper(visit, path):
    page = ready(visit(path, width=718))  # A4 less margins, at 96 dots per inch
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.emulate_media(media="print")
    boxes = page.locator(".scroll").evaluate_all("(all) => all.map((one) => [one.scrollWidth, one.clientWidth])")
    assert all(width <= room for width, room in boxes)


@pytest.mark.thorough
def test_a_finger_moves_the_page_and_picks_by_a_tap(browser, path, shown_run, results):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(path.resolve().as_uri())
    ready(page)
    assert page.locator(".modebar-btn").count() == 0  # nothing lies over the legend
    assert page.evaluate("document.getElementById('pareto')._fullLayout.dragmode") is False
    fastest = shown_run.front(results)[0].evaluation.architecture.id
    place = page.locator("#pareto .scatterlayer .trace").last.locator("path.point").first
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box["width"] >= 10
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function(f"document.getElementById('name-a').textContent === '{fastest}'")
    context.close()


@pytest.mark.thorough
def test_the_knee_of_the_command_is_that_of_the_report(visit, finished_run):
    """One function decides, and where there is none both say why."""
    page = ready(visit(write_report(finished_run)))
    text = page.locator("#knee-note").inner_text()
    knees = finished_run.knees()
    shortcuts = page.locator("#shortcuts").inner_text()
    if knees:
        assert knee_network(finished_run) == knees[0].evaluation.architecture
        assert "Diamonds are knees" in text
        assert f"knee · {100 * (1 - knees[0].evaluation.losses[0]):.1f} %" in shortcuts
        assert picked(page)[0] == knees[0].evaluation.architecture.id
    else:
        assert text.startswith("The front has no knee")
        assert "knee" not in shortcuts


@pytest.mark.thorough
def test_a_front_without_a_knee_says_so(visit, shown_run, results, tmp_path):
    run = Run(tmp_path, shown_run.archive, shown_run.record, shown_run.manifest.model_copy())
    page = ready(visit(write_report(run, rank_again(results[:2]))))
    assert page.locator("#knee-note").inner_text().startswith("The front has no knee: it has ")


@pytest.mark.thorough
def test_test_accuracies_are_in_the_table_the_chart_its_labels_and_the_facts(visit, shown_run, results, tmp_path):
    run = Run(tmp_path, shown_run.archive, shown_run.record, shown_run.manifest.model_copy())
    last = shown_run.front(results)[-1]
    training = FullTraining(Score(179, 180), (1.0,) * 12, 3.0)
    path = write_report(run, [replace(one, training=training) if one is last else one for one in results])
    page = ready(visit(path))
    assert f"trained in full, {last.evaluation.architecture.id} has 99.4% on the test images" in (
        page.locator("h1").inner_text()
    )
    page.locator("#pareto").focus()
    page.keyboard.press("End")
    facts = page.locator("#facts").inner_text()
    low, high = (f"{100 * end:.1f} %" for end in training.score.interval)
    assert f"99.44 % ({low} to {high})" in facts
    cells = page.locator("#networks tbody tr", has_text=last.evaluation.architecture.id).locator("td").all_inner_texts()
    assert cells[1] == "99.44 %"
    assert "Test accuracy: of 180 test images after full training (12 epochs)." in page.locator("main").inner_text()
    star = page.locator("#pareto .scatterlayer .trace").nth(1).locator("path.point")
    assert star.count() == 1
    star.scroll_into_view_if_needed()
    place = star.bounding_box()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.locator("#pareto .hoverlayer").get_by_text("trained in full").wait_for()


def test_the_slider_picks_the_most_accurate_network_within_a_limit(visit, path, shown_run, results):
    page = ready(visit(path))
    front = shown_run.front(results)
    page.locator("#limit").focus()
    page.keyboard.press("Home")
    assert picked(page)[0] == front[0].evaluation.architecture.id
    assert "network within it" in page.locator("#within").inner_text()
    limit = page.evaluate("() => { const s = document.getElementById('limit'); s.value = 600; "
                          "s.dispatchEvent(new Event('input')); return 600; }")  # fmt: skip
    losses = [result.evaluation.losses for result in front]
    highest = losses[0][1] + (losses[-1][1] - losses[0][1]) * limit / 1000
    best = min((loss, number) for number, (loss, latency) in enumerate(losses) if latency <= highest)[1]
    assert picked(page)[0] == front[best].evaluation.architecture.id
    page.keyboard.press("End")
    assert picked(page)[0] == front[-1].evaluation.architecture.id


@pytest.mark.thorough
def test_arrow_keys_walk_along_the_front(visit, path, front):
    page = ready(visit(path))
    page.locator("#pareto").focus()
    page.keyboard.press("Home")
    walked = [picked(page)[0]]
    for _ in front[1:]:
        page.keyboard.press("ArrowRight")
        walked.append(picked(page)[0])
    assert walked == front
    page.keyboard.press("ArrowRight")  # and stays at the end
    assert picked(page)[0] == front[-1]
    page.keyboard.press("ArrowLeft")
    assert picked(page)[0] == front[-2]


def test_a_click_on_a_point_picks_it_and_hovering_shows_its_facts(visit, path, shown_run, results):
    page = ready(visit(path))
    result = shown_run.front(results)[0]  # lies by itself, furthest to the left
    page.locator("input[name=slot][value=b]").check()
    page.locator("#pareto").scroll_into_view_if_needed()
    place = page.locator("#pareto .scatterlayer .trace").last.locator("path.point").first.bounding_box()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    label = page.locator("#pareto .hoverlayer")
    label.get_by_text(result.evaluation.architecture.id).wait_for()
    text = " ".join(label.locator("text").all_text_contents())
    assert f"{100 * (1 - result.evaluation.losses[0]):.2f}" in text
    assert f"{result.evaluation.quantities['params']:,} parameters" in text
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    assert picked(page)[1] == result.evaluation.architecture.id


def test_two_networks_stand_side_by_side(visit, path, shown_run, results):
    page = ready(visit(path))
    by_id = {result.evaluation.architecture.id: result.evaluation for result in results}
    page.locator("#pareto").focus()
    page.keyboard.press("Home")
    a, b = (by_id[name] for name in picked(page))
    assert a.architecture != b.architecture
    table = page.locator("#facts").inner_text()
    for evaluation in (a, b):
        accuracy = evaluation.quantities["accuracy"]
        error = 100 * (accuracy * (1 - accuracy) / shown_run.manifest.data["validation"]) ** 0.5
        assert f"{100 * accuracy:.2f} % ± {error:.1f}" in table
        assert f"{evaluation.quantities['params']:,}" in table
        assert f"{evaluation.quantities['macs']:,}" in table
        assert str(evaluation.architecture) in table
    factor = b.losses[1] / a.losses[1]
    assert f"A is {max(factor, 1 / factor):.2f} times" in page.locator("#verdict").inner_text()
    for slot, evaluation in (("a", a), ("b", b)):
        blocks = page.locator(f"#drawing-{slot} tbody tr").count()
        assert blocks == len(evaluation.architecture.blocks) + 4  # image, stem, head, linear
        shares = [
            float(text.rstrip(" %"))
            for text in page.locator(f"#drawing-{slot} td:last-child").all_inner_texts()
            if text
        ]
        assert sum(shares) == pytest.approx(100, abs=len(shares))
        ms = [
            float(text.split()[0])
            for text in page.locator(f"#drawing-{slot} td:nth-child(3)").all_inner_texts()
            if text
        ]
        assert sum(ms) == pytest.approx(evaluation.losses[1], rel=0.05)


@pytest.mark.thorough
def test_a_command_is_copied(visit, path, shown_run):
    page = ready(visit(path))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("window.setTimeout = () => 0")  # "Copied." would go after two seconds
    page.locator("#commands .copy").first.click()
    page.get_by_text("Copied.").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"evomnas describe {picked(page)[0]} --run {shown_run.folder} --figure {picked(page)[0]}.pdf"
    assert copied in page.locator("#commands").inner_text()


def test_the_table_sorts_by_any_column_and_holds_all_networks(visit, path, front, results):
    page = ready(visit(path))
    rows = page.locator("#networks tbody tr")
    assert rows.count() == len(front)
    page.locator("#all").check()
    done = [result for result in results if result.evaluation.losses is not None]
    assert rows.count() == len(done)
    page.locator("#networks thead button", has_text="parameters").click()
    texts = page.locator("#networks tbody td:nth-child(6)").all_inner_texts()
    params = [int(text.replace(",", "")) for text in texts]
    assert params == sorted(result.evaluation.quantities["params"] for result in done)
    assert page.locator("th[aria-sort=ascending]").inner_text().strip().startswith("parameters")
    page.keyboard.press("Enter")  # the heading keeps the focus
    assert page.locator("#networks tbody td:nth-child(6)").first.inner_text() == f"{params[-1]:,}"
    page.locator("#networks tbody .pick").nth(2).press("Enter")
    assert picked(page)[0] == page.locator("#networks tbody .pick").nth(2).inner_text()


def test_a_filter_takes_words_and_conditions_on_columns(visit, path, results):
    page = ready(visit(path))
    page.locator("#all").check()
    done = [result.evaluation for result in results if result.evaluation.losses is not None]
    field, rows = page.get_by_label("Filter: networks"), page.locator("#networks tbody .pick")
    field.fill(done[3].architecture.id)
    assert rows.all_inner_texts() == [done[3].architecture.id]
    latencies = sorted(one.losses[1] for one in done)
    limit = sum(latencies[len(done) // 2 - 1 :][:2]) / 2  # between two: the page has six digits of each
    field.fill(f"latency<{limit:.9f} stem")
    below = {one.architecture.id for one in done if one.losses[1] < limit}
    assert set(rows.all_inner_texts()) == below
    assert page.get_by_role("status").filter(has_text=f"{len(below)} of {len(done)}").count() == 1
    field.fill("nothing has this")
    assert "No network of this list matches." in page.locator("#networks").inner_text()


def test_paper_has_the_still_front_and_what_is_folded_is_open(visit, path):
    page = ready(visit(path, "dark"))
    page.emulate_media(media="print")
    assert page.locator("#pareto").is_hidden()
    assert page.locator(".printed svg").is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


@pytest.mark.thorough
def test_an_open_page_of_a_running_search_shows_the_newer_state_and_keeps_what_was_picked(
    visit, shown_run, results, tmp_path
):
    run = Run(tmp_path, shown_run.archive, shown_run.record, shown_run.manifest.model_copy())
    part = results[:16]
    path = write_report(run, part, running=True)
    page = ready(visit(path))
    page.locator("#pareto").focus()
    page.keyboard.press("End")
    page.evaluate("scrollTo(0, 400)")
    top = "document.getElementById('pick-title').getBoundingClientRect().top"
    place = page.evaluate(top)
    before, points = picked(page), page.locator("#pareto .scatterlayer .points path.point").count()
    assert "goes on" in page.locator("#running").inner_text()
    write_report(run, results)  # the search has ended
    page.wait_for_selector("#running", state="detached", timeout=120_000)
    ready(page)
    assert picked(page) == before
    assert page.locator("#pareto .scatterlayer .points path.point").count() > points
    assert page.evaluate(top) == pytest.approx(place, abs=2)  # what was read stays in view, whatever came above it


@pytest.mark.thorough
def test_without_a_result_there_is_nothing_to_pick(visit, shown_run, tmp_path):
    run = Run(tmp_path, shown_run.archive, shown_run.record, shown_run.manifest.model_copy())
    page = visit(write_report(run, []))
    assert page.locator("#pick").is_hidden()
    assert re.search("No network", page.locator("main").inner_text())
    assert serious(page) == []


@pytest.mark.thorough
def test_thousands_of_networks_are_shown_sorted_and_picked(visit, tmp_path):
    """A hundred in the table, ten times as many with a click, and all of them in the chart."""
    rows = [
        ",".join(map(str, (*genes, 40 + sum(genes) - 0.1 * genes[0] * genes[7], 1 + sum(genes[:4]) + genes[5] / 8)))
        for genes in itertools.product(range(3), repeat=8)
    ]
    names = [f"g{place}" for place in range(8)]
    (tmp_path / "table.csv").write_text("\n".join([",".join([*names, "top1", "ms"]), *rows]) + "\n")
    (tmp_path / "table.toml").write_text(
        f"""
name = "thousands"
[table]
path = "table.csv"
genes = {names}
objectives = [
    {{ column = "top1", direction = "maximize", scale = 0.01, quantity = "accuracy" }},
    {{ column = "ms", direction = "minimize", quantity = "latency_ms" }},
]
"""
    )
    run = search(tmp_path / "table.toml", "random", budget=5000, seed=1, out=tmp_path / "run")
    page = ready(visit(write_report(run)))
    page.locator("#all").check()
    assert page.locator("#networks tbody tr").count() == 100
    page.locator("#more").click()
    assert page.locator("#networks tbody tr").count() == 1000
    page.locator("#networks thead button", has_text="accuracy").click()
    page.locator("#networks tbody .pick").first.press("Enter")
    assert picked(page)[0] == page.locator("#networks tbody .pick").first.inner_text()
    page.locator("#limit").focus()
    page.keyboard.press("Home")
    page.keyboard.press("End")
    losses = {result.evaluation.architecture.id: result.evaluation.losses for result in run.front()}
    assert losses[picked(page)[0]] == min(losses.values())
