"""What axe-core, the accessibility checker, finds on a page, and what sticks out of it."""

from __future__ import annotations

from typing import Any


def serious(page: Any) -> list[str]:
    """Its serious and critical findings, each with the first element that it is about."""
    from axe_playwright_python.sync_playwright import Axe

    options = {"preload": False}  # else it asks for style sheets, which a page from disk may not
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in ("serious", "critical")
    ]


def sticking_out(page: Any) -> list[str]:
    """The elements that reach beyond the window's sides, unless one scrolls in a box that does not."""
    return page.evaluate(
        """() => [...document.querySelectorAll("main, main *")].filter((element) => {
            const { left, right, width, height } = element.getBoundingClientRect();
            if (!width || !height || element.ownerSVGElement || element.closest(".unseen")) return false;
            if (left >= 0 && right <= innerWidth) return false;
            return !element.parentElement.closest(".scroll, pre, .main-svg, .hoverlayer");
        }).map((element) => element.outerHTML.slice(0, 200))"""
    )


def hidden_columns(page: Any) -> list[str]:
    """The tables that scroll, of which a row's name does not stay in view, or that show nothing beside it."""
    return page.evaluate(
        """() => [...document.querySelectorAll(".scroll")].filter((box) => {
            if (box.scrollWidth <= box.clientWidth) return false;
            const row = box.querySelector("tbody tr");
            box.scrollLeft = 1e6;
            const { left, right } = box.getBoundingClientRect();
            const name = row.cells[0].getBoundingClientRect();
            box.scrollLeft = 0;
            return name.left < left - 1 || name.right > right - 60;
        }).map((box) => box.innerText.slice(0, 80))"""
    )
