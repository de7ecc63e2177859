"""What axe-core, the accessibility checker, finds on a page."""

from __future__ import annotations

from typing import Any


def serious(page: Any) -> list[str]:
    """Its serious and critical findings, each with the first element that it is about."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in ("serious", "critical")
    ]
