"""HTML pages, written from the templates of the folder `reports` or from those of a user."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, TemplateError, Undefined
from markupsafe import Markup
from matplotlib.figure import Figure

from evomnas.core.errors import InputError
from evomnas.core.files import editable_folder, write_atomically
from evomnas.core.showing.style import to_svg

PLOTLY = "plotly-basic.min.js"  # the basic bundle of plotly.js, unchanged, which knows scatter, bar and pie


def write_page(path: Path, template: str, content: Mapping[str, Any], templates: Path | None = None) -> Path:
    """Write a page in one step, so that no reader sees half of it.

    Args:
        path: The file of the page.
        template: The name of its template.
        content: The variables of the template, by name. All values are escaped, except those of type `Markup`.
        templates: A folder of the user's. Its files replace those of `reports` with the same names. None for no folder.

    Returns:
        The path of the page.

    Raises:
        InputError: The user's folder has no template, or one of its templates is wrong.
    """
    try:
        environment = _own_templates() if templates is None else _environment(templates)
        environment.globals["plotly"] = _as_it_is(environment, PLOTLY)  # a user may replace it
        text = environment.get_template(template).render(content)
    except TemplateError as error:
        if templates is None:
            raise
        place = f"{getattr(error, 'name', None) or template}, line {getattr(error, 'lineno', '?')}"
        raise InputError(f"a template of {templates} is wrong ({place}): {error}") from None
    write_atomically(path, text)
    return path


@lru_cache(maxsize=1)
def _own_templates() -> Environment:
    """Return evomnas's own templates. They are compiled once, and again if they change."""
    return _environment(None)


def _environment(templates: Path | None) -> Environment:
    """Return the templates, those of a user's folder first.

    Raises:
        InputError: The folder has no template.
    """
    package = FileSystemLoader(editable_folder("reports"))
    loader = package if templates is None else ChoiceLoader([FileSystemLoader(templates), package])
    known = [name for name in package.list_templates() if not name.endswith((".py", ".md", ".pyc", ".LICENSE"))]
    if templates is not None and not any((templates / name).is_file() for name in known):
        raise InputError(f"{templates} holds none of the templates ({', '.join(known)}): see reports/README.md")
    # A value that one of our own templates lacks is an error; a user's may be of another version.
    undefined = StrictUndefined if templates is None else Undefined
    environment = Environment(loader=loader, autoescape=True, undefined=undefined)
    environment.globals["raw"] = partial(_as_it_is, environment)
    return environment


def _as_it_is(environment: Environment, name: str) -> Markup:
    """Return the text of a file beside the templates."""
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def figure_markup(figure: Figure) -> Markup:
    """Return a still figure as part of a page.

    Args:
        figure: The figure.

    Returns:
        An `<svg>` element that a template does not escape.
    """
    return Markup(to_svg(figure))
