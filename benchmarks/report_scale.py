"""How large and how slow does a report get, and does its page still answer at once?

Runs of 64, 1,000 and 10,000 networks of the digits' space are made up (random networks, an accuracy and a latency that
follow from their MACs with noise, generations of 20: nothing is trained or measured), and their reports written in this
process. For each it prints the file's size, and the processor time of reading the archive and of writing the page.
With Chromium (apt-get install chromium; pip install playwright) the largest page is then opened, and it prints the
milliseconds from an event to the end of what follows it, the next frame included: the pointer onto points of the plot,
and moves of the slider; the median and the maximum of 20.

    python benchmarks/report_scale.py [COUNT...]           takes some three minutes
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from evomnas.evaluation.factory import open_evaluator
from evomnas.loop.launch import begin
from evomnas.problem.counting import count_architecture
from evomnas.problem.loading import load_definition
from evomnas.report.run_report import write_report
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Cost, Measurement, Training
from evomnas.results.records import Ask, GenerationRecord
from evomnas.results.run import Run
from evomnas.results.timing import Calibration

GENERATION = 20
TRIES = 20
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def made_up(folder: Path, networks: int) -> Run:
    """A run of so many networks that nobody trained."""
    rng = np.random.default_rng(networks)
    definition = load_definition("digits")
    with open_evaluator(definition, Archive(folder / f"{networks}.sqlite")) as evaluator:
        archive, proxy, device = evaluator.archive, evaluator.training_context, evaluator.measurement_context
        archive.add_calibration(device, Calibration(0.04, (0.04,), 0.0))
        run = begin(evaluator, folder / f"run-{networks}", "random", 1, networks, {})
    space = definition.space
    chosen = list(dict.fromkeys([space.mobilenet_v2(), *(space.decode(space.draw(rng)) for _ in range(networks))]))
    for one in chosen[:networks]:
        counts = count_architecture(one, **run.shape)
        latency = 0.01 + 7e-8 * counts.macs * float(rng.lognormal(0, 0.2))
        accuracy = 0.99 - 0.1 * float(rng.random()) - 0.05 * np.exp(-latency / 0.03)
        cost = Cost(counts.params, counts.macs, 0)
        samples = tuple(float(ratio) for ratio in latency / 0.04 * rng.normal(1, 0.01, 30))
        measurement = Measurement(cost, latency, 0.99 * latency, 1.01 * latency, latency / 0.04, samples, 0.5)
        archive.add_measurement(device, one, measurement)
        archive.add_training(proxy, one, Training(accuracy, (1.0, 0.5), 1.0))
    asks = (Ask(number, number // GENERATION, str(one)) for number, one in enumerate(chosen[:networks]))
    archive.add_asks(run.record.id, asks)
    generations = -(-networks // GENERATION)
    ends = [GenerationRecord(number, 25.0 * (number + 1), {}) for number in range(generations)]
    archive.add_generations(run.record.id, ends)
    run.manifest.seconds.total = 25.0 * generations
    run.manifest.status = "finished"
    run.write(networks, run.front())
    return run


def answers(page_path: Path) -> None:
    """Print how soon the page answers."""
    from playwright.sync_api import sync_playwright

    timed = """(act) => new Promise((done) => {
        const started = performance.now();
        act();
        requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)));
    })"""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        started = time.perf_counter()
        page.goto(page_path.resolve().as_uri())
        page.wait_for_selector("#facts tbody tr")
        print(f"  open: {time.perf_counter() - started:.1f} s to the first network picked")
        page.evaluate(f"() => {{ window.timed = {timed} }}")
        slider = [
            page.evaluate(
                "(value) => timed(() => { const s = document.getElementById('limit'); s.value = value;"
                " s.dispatchEvent(new Event('input', { bubbles: true })); })",
                1000 - 47 * number,
            )
            for number in range(TRIES)
        ]
        print(f"  slider: {median(slider):.0f} ms, at most {max(slider):.0f} ms")
        page.locator("#pareto").scroll_into_view_if_needed()
        hover = []
        for number in range(TRIES):
            hover.append(page.evaluate(HOVER, (number + 0.5) / TRIES))
            page.wait_for_timeout(120)  # Plotly answers the first of moves that follow each other closely
        print(f"  hover: {median(hover):.0f} ms, at most {max(hover):.0f} ms")
        browser.close()


HOVER = """(at) => timed(() => {
    const root = document.getElementById("pareto");
    const drag = root.querySelector(".nsewdrag");
    const box = drag.getBoundingClientRect();
    const place = { clientX: box.left + box.width * at, clientY: box.top + box.height * (0.2 + 0.5 * at) };
    const all = { bubbles: true, ...place };
    drag.dispatchEvent(new MouseEvent("mouseover", all));
    drag.dispatchEvent(new MouseEvent("mousemove", all));
})"""


def main() -> None:
    counts = [int(text) for text in sys.argv[1:]] or [64, 1000, 10_000]
    with tempfile.TemporaryDirectory() as folder:
        write_report(made_up(Path(folder), 40))  # imports and fonts
        for networks in counts:
            run = made_up(Path(folder), networks)
            started = time.process_time()
            results = run.results()
            read = time.process_time()
            path = write_report(run, results)
            done = time.process_time()
            size = path.stat().st_size / 1e6
            print(
                f"{networks:6,} networks: {size:.2f} MB, read in {read - started:.2f} s, written in {done - read:.2f} s"
            )
        if CHROMIUM is not None:
            answers(path)


if __name__ == "__main__":
    main()
