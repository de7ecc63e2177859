"""Operations by name.

A name is a family and, for some, a number: `mbconv6`. Families of other packages are entry points of the group
`evomnas.ops`. Those of this package are not: they are needed before any plug-in, and looking one up must take no time.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import product

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.problem.ops.base import Convolution, Gate, LayerShape, Operation
from evomnas.problem.ops.builtin import BUILT_IN, MAX_EXPANSION

NAME = r"[a-z]{1,30}(?:[1-9]\d?)?"  # of an operation, in notations
_NAME = re.compile(r"([a-z]{1,30}?)([1-9]\d?)?", re.ASCII)


@lru_cache(maxsize=1000)
def operation(name: str) -> Operation:
    """Return the operation of a name.

    Args:
        name: Its name, such as `mbconv6`; `mbconv1` is `dconv`.

    Returns:
        The operation; its own name is the canonical one.

    Raises:
        InputError: There is none of that name, or a plug-in's is faulty; the message says what is allowed.
    """
    match = _NAME.fullmatch(name)
    family, number = (match[1], None if match[2] is None else int(match[2])) if match else ("", None)
    if (family, number) == ("mbconv", 1):
        return operation("dconv")
    plug_ins = registry.available("ops") if family not in BUILT_IN else {}
    if family in plug_ins:
        found: Operation = registry.load("ops", family)(number)
        _check(found, family)
        return found
    try:
        return BUILT_IN[family](number)
    except (KeyError, InputError):
        raise InputError(f"unknown op {name!r}: allowed are {', '.join(_allowed())}") from None


def _allowed() -> list[str]:
    """Return what may be written as an operation."""
    numbered = [family for family in BUILT_IN if family not in ("conv", "dconv")]
    factors = f"(N from 2 to {MAX_EXPANSION})"
    return ["conv", "dconv", f"{', '.join(f'{family}N' for family in numbered)} {factors}", *registry.available("ops")]


def _check(found: Operation, family: str) -> None:
    """Check that a plug-in's operation keeps what `Operation.steps` promises, on some shapes.

    Raises:
        InputError: It does not; the message says in what.
    """
    if not str(found.name).startswith(family) or not re.fullmatch(NAME, str(found.name)):
        raise InputError(f"the op {family} calls itself {found.name!r}: its name must be {family} and a number or none")
    for in_filters, filters, stride, gated in product((1, 8, 24), (1, 16, 24), (1, 2), (False, True)):
        layer = LayerShape(in_filters, filters, 3, stride, gated)
        fault = _fault(found, layer)
        if fault:
            raise InputError(f"the op {found.name} is faulty: {fault}, for {layer}")
        if found.steps(layer) == found.steps(layer._replace(kernel=5)):
            raise InputError(f"the op {found.name} is faulty: it does not depend on the kernel size, for {layer}")


def _fault(found: Operation, layer: LayerShape) -> str:
    """Return what is wrong with the steps of a layer; empty where nothing is."""
    channels, stride, gates = layer.in_filters, 1, 0
    for number, step in enumerate(found.steps(layer), start=1):
        if isinstance(step, Gate):
            gates += 1
            if step.filters != channels:
                return f"step {number} gates {step.filters} channels, and gets {channels}"
        elif isinstance(step, Convolution):
            if step.in_filters != channels:
                return f"step {number} reads {step.in_filters} channels, and gets {channels}"
            if step.in_filters % step.groups or step.filters % step.groups:
                return f"step {number} cannot divide its channels into {step.groups} groups"
            channels, stride = step.filters, stride * step.stride
        else:
            return f"step {number} is a {type(step).__name__}, not a Convolution or a Gate"
    if (channels, stride, gates) != (layer.filters, layer.stride, int(layer.gated)):
        return f"its steps end in {channels} channels, have stride {stride} and {gates} gates"
    return ""
