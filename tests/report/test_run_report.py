"""The report: one file, complete, escaped, in a user's own words, and written while a search goes on."""

from __future__ import annotations

import copy
import html
import json
import re
import shutil
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import typer
from command_lines import parse
from typer.testing import CliRunner

from evomnas.cli.options import candidate_limits
from evomnas.cli.show import app
from evomnas.core.errors import InputError
from evomnas.evaluation.executors.base import Cluster
from evomnas.loop.launch import search
from evomnas.problem.loading import load_definition, validate_definition
from evomnas.report.gene_preferences import count_preferences
from evomnas.report.history import Generation, History, read_history
from evomnas.report.reproduce import problem_file, run_command
from evomnas.report.run_report import LiveReport, write_report
from evomnas.report.words import format_duration, headline, limits_line
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.evaluation import FullTraining, Score
from evomnas.results.manifest import Manifest, Seconds
from evomnas.results.run import Run

PLOTLY = re.compile(r"<script>\s*/\*\*\s*\* plotly.js.*?</script>", re.DOTALL)


def written(run: Run, tmp_path, **changes) -> str:
    """The page of a run elsewhere, with some of its manifest changed; without Plotly's own text."""
    other = copy.copy(run)
    other.folder, other.manifest = tmp_path, Manifest.model_validate(run.manifest.to_json() | changes)
    return PLOTLY.sub("", write_report(other).read_text())


@pytest.fixture(scope="module")
def text(shown_run) -> str:
    return (shown_run.folder / "report.html").read_text()


@pytest.fixture(scope="module")
def data(text) -> dict:
    """What the page's script draws."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_the_report_is_one_small_file_that_asks_for_nothing(text):
    assert len(text) < 1_600_000
    assert not re.search(r'(src|href)="(?!data:|#)', PLOTLY.sub("", text))
    assert "default-src 'none'" in text


def test_every_network_and_setting_is_in_it(text, data, shown_run):
    done = [result for result in shown_run.results() if result.evaluation.losses is not None]
    networks = data["networks"]
    assert networks["id"] == [result.evaluation.architecture.id for result in done]
    notations = ["-".join(data["parts"][place][0] for place in parts) for parts in networks["parts"]]
    assert notations == [str(result.evaluation.architecture) for result in done]
    assert networks["x"] == pytest.approx([result.evaluation.losses[1] for result in done], rel=1e-5)
    assert networks["y"] == pytest.approx([100 * (1 - result.evaluation.losses[0]) for result in done], rel=1e-5)
    assert [bool(flag) for flag in networks["front"]] == [result.on_front for result in done]
    for value in ("epochs = 1", "batch = 50", "learning_rate = 0.1", shown_run.manifest.machine["processor"]):
        assert value in text


def test_each_part_has_the_counts_of_the_built_network(data, shown_run):
    """Checked against ptflops, layer by layer."""
    from evomnas.networks.layer_costs import layer_costs

    networks = data["networks"]
    for place in range(0, len(networks["id"]), 7):
        parts = [data["parts"][number] for number in networks["parts"][place]]
        architecture = shown_run.definition.parse("-".join(part[0] for part in parts))
        expected: dict[str, list[int]] = {}
        for layer in layer_costs(architecture, **shown_run.shape):
            name = layer.name.partition(".")[0].replace("classifier", "head")
            total = expected.setdefault(name, [0, 0])
            total[0], total[1] = total[0] + layer.params, total[1] + layer.macs
        assert [part[7:9] for part in parts] == list(expected.values())


def test_what_the_front_prefers_is_a_table_of_its_shares(text, shown_run):
    preferences = count_preferences(shown_run, shown_run.results())
    maps = re.findall(r'<table class="shares">.*?</thead>(.*?)</table>', text, re.DOTALL)
    for body, expected in zip(maps, (preferences.everywhere, preferences.front), strict=True):
        rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', body)
        assert [value for value, _ in rows] == [value for _, value in preferences.rows]
        cells = [re.findall(r'<td(?: class="share" style="--share:([\d.]+)")?>', row) for _, row in rows]
        shares = [[float(share) if share else np.nan for share in row] for row in cells]
        np.testing.assert_allclose(shares, expected, atol=5e-4)


def test_references_limits_and_failures_are_told(text, data):
    [reference] = data["references"]
    assert reference["name"] == "MobileNetV2"
    place = data["networks"]["id"].index(data["reference"])
    assert reference["x"] == data["networks"]["x"][place]
    assert "1 candidate failed (1 diverged)" in text
    assert "the loss became NaN" in text
    assert "2 asks were for networks already evaluated and were answered at once, which saved 5 s" in text
    assert "22.5 evaluations a minute" in text


HOSTILE = "</script><img src=x onerror=alert(1)>&amp;'\""


@pytest.mark.usefixtures("no_drawings")
def test_what_comes_from_outside_stays_text(shown_run, tmp_path):
    """A data set's name, a failure's message, a problem's summary: none of them becomes a part of the page."""
    run = copy.copy(shown_run)
    values = run.definition.model_dump(mode="json") | {"summary": HOSTILE}
    run.definition = validate_definition(values)
    machine = run.manifest.machine | {"processor": HOSTILE, HOSTILE: "name"}
    page = written(run, tmp_path, problem=HOSTILE, machine=machine, goals=[], status=HOSTILE)
    assert "<img" not in page
    assert page.count("</script>") == page.count("<script")
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&amp;amp;" in page


@pytest.mark.usefixtures("no_drawings")
def test_a_table_s_hostile_names_stay_text_in_a_browser(visit, tmp_path):
    from evomnas.loop.launch import search

    names = ["<img src=x onerror=document.title='hacked'>", "<b>bold</b>", "plain"]
    (tmp_path / "table.csv").write_text(
        "gene,top1,ms\n" + "".join(f'"{n}",{50 + i},{1 + i}\n' for i, n in enumerate(names))
    )
    (tmp_path / "bad.toml").write_text(
        'name = "bad"\n[table]\npath = "table.csv"\ngenes = ["gene"]\nobjectives = [\n'
        '{ column = "top1", direction = "maximize", scale = 0.01 }, { column = "ms", direction = "minimize" }]\n'
    )
    run = search(tmp_path / "bad.toml", budget=3, out=tmp_path / "run")
    page = visit(write_report(run))
    page.wait_for_selector("#facts tbody tr")
    for index in range(3):
        page.locator("#networks .pick").nth(index).click()
    assert page.title().startswith("bad")
    assert page.locator("main img").count() == 0
    assert names[0] in page.locator("#networks").inner_text()


@pytest.mark.usefixtures("no_drawings")
def test_a_user_s_own_template_takes_the_place_of_ours(shown_run, tmp_path):
    run, templates = copy.copy(shown_run), tmp_path / "templates"
    run.folder = tmp_path
    templates.mkdir()
    (templates / "style.css").write_text("body { color: rebeccapurple; } /* {{ not a template }} */")
    page = write_report(run, templates=templates)
    assert "rebeccapurple; } /* {{ not a template }} */" in page.read_text()
    (templates / "report.html").write_text("{% if %}")
    with pytest.raises(InputError, match=r"report.html, line 1"):
        write_report(run, templates=templates)
    assert "rebeccapurple" in page.read_text()  # nothing was written


@pytest.mark.usefixtures("no_drawings")
def test_the_report_is_written_on_the_way_within_its_share_of_the_time(shown_run, tmp_path):
    run = copy.copy(shown_run)
    run.folder, live = tmp_path, LiveReport()
    seconds = Seconds(total=0.0, training=0.0, latency=0.0, other=0.0)
    run.manifest = shown_run.manifest.model_copy(update={"seconds": seconds, "evaluations": 8, "status": "interrupted"})
    live(run)
    assert not (tmp_path / "report.html").exists()  # a search of a second has no time for it
    run.manifest.seconds.total = 30.0
    live(run)
    first = (tmp_path / "report.html").read_text()
    assert "The search goes on: 8 of 30 networks" in first
    live(run)  # too soon after the first one
    assert (tmp_path / "report.html").read_text() == first
    run.manifest.seconds.total, run.manifest.evaluations = 1e6, 30
    live(run)  # nor at the end, where the last one is due
    assert (tmp_path / "report.html").read_text() == first
    run.manifest.evaluations = 8
    live(run)
    assert (tmp_path / "report.html").read_text() != first


def test_a_search_tells_after_its_generations(tabular_file, tmp_path, monkeypatch):
    from evomnas.loop import journal
    from evomnas.loop import launch as loop

    monkeypatch.setattr(journal, "WRITE_EVERY_S", 0.0)
    evaluations: list[int] = []

    def on_generation(run):
        evaluations.append(run.manifest.evaluations)
        assert (run.folder / "front.csv").is_file()

    run = loop.search(tabular_file, "nsga2", budget=40, seed=1, out=tmp_path / "run", on_generation=on_generation)
    assert evaluations == [19, 39, 40]  # the third generation is cut off by the budget
    records = run.archive.generations(run.record.id)
    assert [record.generation for record in records] == [0, 1, 2]
    loop.resume(tmp_path / "run", budget=60, on_generation=on_generation)
    assert evaluations[3:] == [59, 60]  # what was replayed is not told again
    again = Run.open(tmp_path / "run").archive.generations(run.record.id)
    assert [record.generation for record in again] == [0, 1, 2, 3]
    assert again[:2] == records[:2]
    assert again[2].seconds > records[2].seconds  # all of it is known now
    assert again[3].seconds >= again[2].seconds >= again[1].seconds


@pytest.mark.usefixtures("no_drawings")
def test_a_search_keeps_its_report_up_to_date(tabular_file, tmp_path, monkeypatch):
    from evomnas.loop import journal
    from evomnas.loop import launch as loop
    from evomnas.report import run_report as report

    monkeypatch.setattr(journal, "WRITE_EVERY_S", 0.0)
    monkeypatch.setattr(report, "FIRST_REPORT_S", 0.0)
    monkeypatch.setattr(report, "MAX_TIME_SHARE", float("inf"))
    live, pages = LiveReport(), []

    def on_generation(run):
        live(run)
        pages.append((run.folder / "report.html").read_text())

    loop.search(tabular_file, "nsga2", budget=40, seed=1, out=tmp_path / "run", on_generation=on_generation)
    assert ["The search goes on: 19 of 40" in pages[0], "The search goes on: 39 of 40" in pages[1]] == [True, True]


@pytest.mark.usefixtures("no_drawings")
def test_an_interrupted_search_leaves_no_page_that_waits(shown_run, tmp_path, capsys):
    from evomnas.cli.progress import ProgressDisplay
    from evomnas.cli.search import _resumable

    shutil.copytree(shown_run.folder.parent, tmp_path / "copy")
    run = Run.open(tmp_path / "copy" / "run")
    page = write_report(run, running=True)
    assert 'id="running"' in page.read_text()
    with (
        pytest.raises(typer.Exit) as ended,
        _resumable(run.folder, Cluster("head:6379", gpus=0.5), ProgressDisplay("")),
    ):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert 'id="running"' not in page.read_text()
    there = " --executor ray --ray-address head:6379 --candidate-gpus 0.5"
    output = capsys.readouterr().err
    assert f"every finished evaluation is kept. Go on with: evomnas resume {run.folder}{there}\n" in output


@pytest.mark.usefixtures("no_drawings")
def test_the_controller_s_reward_and_entropy_are_kept(tabular_file, tmp_path):
    from evomnas.loop.launch import search

    run = search(tabular_file, "rl-weighted", options={"target_ms": [1.0, 2.0]}, budget=60, out=tmp_path / "run")
    series = read_history(run, run.results()).metric_series()
    assert set(series) == {"reward", "entropy"}
    assert set(series["reward"]) == {"target 1", "target 2"}
    [(first, entropy), *_] = series["entropy"]["target 1"]
    assert first == 0
    assert entropy == pytest.approx(np.log(3), rel=0.02)  # three choices per gene, hardly a preference yet
    assert "entropy by generation" in write_report(run).read_text()


@pytest.mark.usefixtures("no_drawings")
def test_predictors_are_explained_and_the_generation_that_the_budget_ends_has_its_time(tabular_file, tmp_path):
    run = search(tabular_file, budget=30, out=tmp_path / "run")
    assert "Tau: how well the predictors ranked the networks" in write_report(run).read_text()
    history = read_history(run, run.results())
    assert [generation.evaluated for generation in history.generations] == [10, 18, 26, 30]
    seconds = [generation.seconds for generation in history.generations]
    assert seconds == sorted(seconds)
    assert seconds[-1] <= run.manifest.seconds.total
    assert "tau (error)" in history.generations[-1].metrics


def test_history_counts_what_was_asked(shown_run):
    from evomnas.problem.pareto import hypervolume

    results = shown_run.results()
    history = read_history(shown_run, results)
    assert [(generation.asked, generation.new) for generation in history.generations] == [
        (8, 8),
        (8, 8),
        (8, 8),
        (8, 6),
    ]
    assert [generation.failed for generation in history.generations] == [1, 0, 0, 0]
    assert history.repeated == 2
    for generation in history.generations:
        evaluations = [result.evaluation for result in results[: generation.evaluated]]
        points = [evaluation.relative_losses for evaluation in evaluations if evaluation.losses is not None]
        expected = hypervolume(points, shown_run.definition.hypervolume.reference_point)
        assert generation.hypervolume == pytest.approx(expected)


def test_generations_of_an_interrupted_clock_never_run_backwards(shown_run):
    rows = [
        Generation(n, 1, 1, 0, 0, 0, n + 1, 0.5, 0.1 * n, seconds, {})
        for n, seconds in enumerate((5.0, 3.0, None, 9.0))
    ]
    seconds, values = History(tuple(rows), np.zeros(4), {}, 0, 0.0).over_time()
    assert seconds.tolist() == [5.0, 5.0, 9.0]
    assert values.tolist() == pytest.approx([0.0, 0.1, 0.3])


def test_the_problem_file_is_the_problem(shown_run):
    assert validate_definition(tomllib.loads(problem_file(shown_run))) == shown_run.definition


def test_a_table_s_problem_file_and_command_make_the_same_search(tabular_file, tmp_path):
    from evomnas.loop.launch import search

    run = search(
        tabular_file, "rl-weighted", options={"target_ms": [1.0, 2.0], "alpha": 0.0}, budget=3, out=tmp_path / "run"
    )
    assert validate_definition(tomllib.loads(problem_file(run))) == run.definition
    assert run_command(run) == (
        "evomnas run tabular.toml --algo rl-weighted --budget 3 --seed 1 --target-ms 1.0,2.0 --alpha 0.0"
    )


def test_a_built_in_problem_is_named_with_what_was_set(shown_run):
    from evomnas.problem.loading import load_definition

    run = copy.copy(shown_run)
    run.definition = load_definition(
        "digits", ["training.epochs=3", "constraints.max_params=5000", "space.ops=['conv']"]
    )
    command = run_command(run)
    assert command.startswith("evomnas run digits --algo nsga2 --budget 30 --seed 1 ")
    for setting in ("--set training.epochs=3", "--set constraints.max_params=5000", "--set 'space.ops=[\"conv\"]'"):
        assert setting in command


@pytest.mark.parametrize("limits", [CandidateLimits(90.5, 2.0), CandidateLimits(1e-5), CandidateLimits(3.6e7, 1e5)])
def test_the_limits_of_candidates_are_typed_again(limits, shown_run):
    run = copy.copy(shown_run)
    run.record = replace(shown_run.record, candidates=limits)
    _, values = parse(run_command(run))
    assert candidate_limits(values["candidate_time"], values["candidate_memory"]) == limits


@pytest.mark.parametrize("extension", ["pdf", pytest.param("svg", marks=pytest.mark.thorough)])
def test_figures_for_papers_embed_their_fonts(shown_run, tmp_path, extension):
    result = CliRunner().invoke(
        app, ["report", str(shown_run.folder), "--figures", str(tmp_path / "f"), "--format", extension]
    )
    assert result.exit_code == 0, result.output
    names = {path.stem for path in (tmp_path / "f").iterdir()}
    front = {f"network-{result.evaluation.architecture.id}" for result in shown_run.front()}
    assert names == front | {
        "pareto", "hypervolume", "hypervolume-over-time", "latency-against-macs", "preferences", "reward", "entropy",
    }  # fmt: skip
    content = (tmp_path / "f" / f"pareto.{extension}").read_bytes()
    if extension == "pdf":
        assert b"/FontFile2" in content
        assert b"/Type3" not in content
    else:
        assert b"<text" not in content  # text as outlines needs no font


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--figures", "FILE"], "--figures takes a folder"),
        (["--templates", "FILE"], "--templates takes a folder"),
        (["--templates", "nowhere"], "there is no folder nowhere"),
        (["--format", "svg"], "add --figures DIR"),
        (["--format", "gif"], "Invalid value"),
    ],
)
def test_wrong_options_are_one_line(shown_run, tmp_path, arguments, message):
    (tmp_path / "file").write_text("")
    typed = [str(tmp_path / "file") if argument == "FILE" else argument for argument in arguments]
    result = CliRunner().invoke(app, ["report", str(shown_run.folder), *typed])
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.usefixtures("no_drawings")
def test_a_folder_of_templates_without_any_is_refused(shown_run, tmp_path):
    (tmp_path / "reprot.html").write_text("mine")
    with pytest.raises(InputError, match="holds none of the templates .*report.html"):
        write_report(shown_run, templates=tmp_path)


@pytest.mark.usefixtures("no_drawings")
def test_a_run_with_limits_says_what_they_are_and_what_was_beyond_them(tabular_file, tmp_path):
    limited = load_definition(tabular_file, ["constraints.max_latency_ms=3"])
    run = search(limited, "random", budget=30, out=tmp_path / "my run")
    beyond = sum(result.evaluation.status == "infeasible" for result in run.results())
    page = write_report(run).read_text()
    assert beyond
    assert f"{beyond} candidates were beyond the limits, and none of them was trained" in page
    line = limits_line(run, run.results())
    assert re.fullmatch(
        rf"Limit: max_\w+ = [\d.e+]+; {beyond} networks were beyond it and could not join the front\.", line
    )
    assert "max latency ms" in page


def test_the_headline_says_after_how_much_training_and_what_the_reference_is(shown_run):
    text = headline(shown_run, shown_run.results())
    front = shown_run.front()
    (first, cheap), (last, dear) = (one.evaluation.losses for one in (front[0], front[-1]))
    assert text.startswith(
        f"{len(front)} networks on the Pareto front, after 1 epoch of training: the fastest has {1 - first:.1%} at "
        f"{cheap:.3g} ms, the most accurate {1 - last:.1%} at {dear:.3g} ms; "
    )
    assert "trained in full" not in text
    by_id = {one.evaluation.architecture.id: one.evaluation.losses for one in shown_run.results()}
    error, latency = by_id[shown_run.reference_id]
    factor = latency / min(one.evaluation.losses[1] for one in front if one.evaluation.losses[0] <= error)
    expected = f"one is {factor:.1f}x as fast as MobileNetV2 and at least as accurate ({1 - error:.1%} after the same"
    assert (expected in text) == (factor >= 1.05)
    assert re.search(r"; 30 networks in 1 min 20 s\. Answering '\d' to every image has 10\.\d%\.$", text)


def test_many_full_trainings_are_not_all_in_the_headline(shown_run):
    training = FullTraining(Score(9, 10), (1.0,), 1.0)
    results = [replace(one, training=training) for one in shown_run.results()]
    names = [one.evaluation.architecture.id for one in shown_run.front(results)]
    text = headline(shown_run, results)
    assert f"{names[-1]} has 90.0% on the test images" in text
    assert ("more in the table" in text) == (len(names) > 3)
    assert sum(name in text for name in names) == min(3, len(names))


def test_one_network_is_said_once(tabular_file, tmp_path):
    run = search(tabular_file, budget=1, out=tmp_path / "run")
    assert re.match(r"1 network on the Pareto front, with [^;]*; .*; 1 network in \d+ s", headline(run, run.results()))


@pytest.mark.usefixtures("no_drawings")
def test_folders_are_printed_as_they_are_typed(tabular_file, tmp_path):
    run = search(tabular_file, budget=5, out=tmp_path / "my run", time_limit_s=1e-9)
    assert f"evomnas resume '{tmp_path}/my run'" in html.unescape(write_report(run).read_text())


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (160, "2 min 40 s"), (11100, "3 h 5 min")]
)
def test_durations_are_said_as_people_do(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.usefixtures("no_drawings")
def test_a_run_of_an_older_version_has_a_report_without_times(shown_run, tmp_path):
    run = copy.copy(shown_run)
    run.archive = copy.copy(shown_run.archive)
    run.archive.generations = lambda identity: []
    history = read_history(run, run.results())
    assert len(history.over_time()[0]) == 0
    assert history.metric_series() == {}
    assert "Hypervolume over time" not in written(run, tmp_path)
