"""The report: one file, complete, escaped, and alive in a real browser."""

from __future__ import annotations

import os
import re
import shutil

import pytest

from evomnas.presentation import duration
from evomnas.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def text(finished_run) -> str:
    return (finished_run.folder / "report.html").read_text()


def test_the_report_is_one_small_file_that_asks_for_nothing(text):
    assert len(text) < 6_000_000
    assert not re.search(r'(src|href)="(?!data:|#)', text.split("<script>")[0])


def test_every_network_and_setting_is_in_it(text, finished_run):
    for result in finished_run.results():
        assert result.evaluation.architecture.id in text
    assert "training.epochs" in text
    assert finished_run.manifest["machine"]["processor"] in text


def test_what_comes_from_outside_stays_text(tiny, tmp_path, finished_run):
    import copy

    run = copy.copy(finished_run)
    run.folder = tmp_path
    run.manifest = finished_run.manifest | {"problem": "<script>alert(1)</script>"}
    page = write_report(run).read_text()
    assert "<script>alert(1)</script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (160, "2 min 40 s"), (11100, "3 h 5 min")]
)
def test_durations_are_said_as_people_do(seconds, text):
    assert duration(seconds) == text


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        message = "needs Chromium: apt-get install chromium"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_report_opens_from_disk_and_shows_every_point(browser, finished_run, scheme, width):
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, offline=True)
    page = context.new_page()
    errors: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((finished_run.folder / "report.html").resolve().as_uri())
    page.wait_for_selector("#pareto .scatterlayer .points path")
    twice = finished_run.results()[0].on_front  # the reference network's mark stands over its point on the front
    assert page.locator("#pareto .scatterlayer .points path.point").count() == 24 + twice
    assert page.locator(".drawings svg").count() == len(finished_run.front())
    assert page.locator("table").first.locator("tbody tr").count() == len(finished_run.front())
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert errors == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)
    context.close()
