"""The packages that this one needs, compared with those that are installed.

pip keeps to the versions that setup.py allows. `pip install --no-deps` does not, nor does an environment that is put
together by hand.
"""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec

PACKAGE = "evomnas"


def requirements_fault() -> str:
    """Return what is missing, or of a version that this package does not work with, and the command that mends it.

    The requirements of an extra, such as `evomnas[ray]`, count if it requires a package of its own name, and that
    package is installed.

    Returns:
        One line; empty if nothing is wrong.
    """
    try:
        from packaging.requirements import Requirement
    except ModuleNotFoundError:
        return f"the packages that {PACKAGE} needs are not installed: pip install {PACKAGE}"
    requirements = [Requirement(one) for one in metadata.requires(PACKAGE) or ()]
    named = {one.name for one in requirements} & {*(metadata.metadata(PACKAGE).get_all("Provides-Extra") or ())}
    extras = ["", *filter(installed_version, sorted(named))]
    unmet = {}
    for requirement in requirements:
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            installed = installed_version(requirement.name)
            if installed is None or not requirement.specifier.contains(installed, prereleases=True):
                unmet[f"{requirement.name}{requirement.specifier}"] = installed or "none"
    faults = ", ".join(f"{requirement} ({installed} is installed)" for requirement, installed in unmet.items())
    return f"{PACKAGE} needs {faults}: pip install {' '.join(map(repr, unmet))}" if unmet else ""


def installed_version(package: str) -> str | None:
    """Return the version of a package.

    Some packages are published under several names, of which one is installed: `onnxruntime-gpu` is `onnxruntime` with
    more providers.

    Args:
        package: Its name, as pip knows it; also the name under which it is imported, if others bring it, too.

    Returns:
        The version, or None if the package is not installed.
    """
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        others = metadata.packages_distributions().get(package) if find_spec(package) else None
        return metadata.version(others[0]) if others else None
