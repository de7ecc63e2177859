"""HTML pages from the templates of `evomnas.reports`, or of a user's own folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, TemplateError
from markupsafe import Markup
from matplotlib.figure import Figure

from evomnas.core.errors import InputError
from evomnas.core.files import editable_folder, write_atomically
from evomnas.report.figures import to_svg


def write_page(path: Path, template: str, content: Mapping[str, Any], templates: Path | None = None) -> Path:
    """Write a page in one step; returns its path.

    Args:
        path: The page.
        template: Its template's name.
        content: What the template shows; all of it is escaped but `Markup`.
        templates: A folder whose files take the place of those of evomnas.reports with the same names.

    Raises:
        InputError: A template of that folder is wrong, or it has none.
    """
    package = FileSystemLoader(editable_folder("reports"))
    loader = package if templates is None else ChoiceLoader([FileSystemLoader(templates), package])
    known = [name for name in package.list_templates() if not name.endswith((".py", ".md", ".pyc"))]
    if templates is not None and not any((templates / name).is_file() for name in known):
        raise InputError(f"{templates} holds none of the templates ({', '.join(known)}): see reports/README.md")
    environment = Environment(loader=loader, autoescape=True)
    environment.globals["raw"] = lambda name: Markup(loader.get_source(environment, name)[0])
    try:
        text = environment.get_template(template).render(content)
    except TemplateError as error:
        if templates is None:
            raise
        place = f"{getattr(error, 'name', None) or template}, line {getattr(error, 'lineno', '?')}"
        raise InputError(f"a template of {templates} is wrong ({place}): {error}") from None
    write_atomically(path, text)
    return path


def svg(figure: Figure) -> Markup:
    """A still figure as a part of a page."""
    return Markup(to_svg(figure))
