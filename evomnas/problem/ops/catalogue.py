"""Operations by name.

A name is a family and, for some, a number: `mbconv6`; `uib4a3` has two. Families of other packages are entry points of
the group `evomnas.ops`. Those of this package are not: they are needed before any plug-in, and looking one up must take
no time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import product

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.problem.ops.base import (
    ChannelIndex,
    Concatenation,
    Convolution,
    Gate,
    LayerShape,
    Operation,
    Shortcut,
    Shuffle,
    Step,
)
from evomnas.problem.ops.builtin import BUILT_IN, MAX_EXPANSION, NUMBERED

NAME = r"[a-z]{1,30}(?:[1-9]\d?(?:a[1-9]\d?)?)?"  # of an operation, in notations
_NAME = re.compile(r"([a-z]{1,30})(?:([1-9]\d?)(?:a([1-9]\d?))?)?", re.ASCII)
_ALIASES = {"mbconv1": "dconv", "fmbconv1": "conv"}  # without an expansion, as their papers have it


@lru_cache(maxsize=1000)
def operation(name: str) -> Operation:
    """Return the operation of a name.

    Args:
        name: Its name, such as `mbconv6`; `mbconv1` is `dconv`, and `fmbconv1` is `conv`.

    Returns:
        The operation; its own name is the canonical one.

    Raises:
        InputError: There is none of that name, or a plug-in's is faulty; the message says what is allowed.
    """
    if name in _ALIASES:
        return operation(_ALIASES[name])
    match = _NAME.fullmatch(name)
    family = match[1] if match else ""
    numbers = [int(number) for number in match.groups()[1:] if number] if match else []
    plug_ins = registry.available("ops") if family not in BUILT_IN else {}
    if family in plug_ins and len(numbers) < 2:
        found: Operation = registry.load("ops", family)(numbers[0] if numbers else None)
        _check(found, family)
        return found
    try:
        if len(numbers) == 2 and family != "uib":
            raise InputError(f"{family} takes one number")
        return BUILT_IN[family](*numbers)
    except (KeyError, InputError):
        raise InputError(f"unknown op {name!r}: allowed are {', '.join(_allowed())}") from None


def _allowed() -> list[str]:
    """Return what may be written as an operation."""
    plain = [family for family in BUILT_IN if family not in NUMBERED]
    numbered = [f"{family}NaK" if family == "uib" else f"{family}N" for family in NUMBERED]
    return [*plain, f"{', '.join(numbered)} (N up to {MAX_EXPANSION}, K odd)", *registry.available("ops")]


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
        if found.canonical(3) != found.canonical(5) and found.steps(layer) == found.steps(layer._replace(kernel=5)):
            raise InputError(f"the op {found.name} is faulty: it does not depend on the kernel size, for {layer}")


def _fault(found: Operation, layer: LayerShape) -> str:
    """Return what is wrong with the steps of a layer; empty where nothing is."""
    steps = found.steps(layer)
    fault, channels, stride = _chain_fault(steps, layer.in_filters)
    gates = sum(isinstance(step, Gate) for step in steps)
    if not fault and (channels, stride, gates) != (layer.filters, layer.stride, int(layer.gated)):
        return f"its steps end in {channels} channels, have stride {stride} and {gates} gates"
    return fault


def _chain_fault(steps: Sequence[Step], channels: int) -> tuple[str, int, int]:
    """Return what is wrong with steps one behind another, and their channels and stride at the end."""
    stride = 1
    for number, step in enumerate(steps, start=1):
        if isinstance(step, Convolution | Shortcut):
            if step.in_filters != channels:
                return f"step {number} reads {step.in_filters} channels, and gets {channels}", 0, 0
            groups = step.groups if isinstance(step, Convolution) else 1
            if step.in_filters % groups or step.filters % groups:
                return f"step {number} cannot divide its channels into {groups} groups", 0, 0
            channels, stride = step.filters, stride * step.stride
        elif isinstance(step, Gate):
            if step.filters != channels:
                return f"step {number} gates {step.filters} channels, and gets {channels}", 0, 0
        elif isinstance(step, Shuffle | ChannelIndex):
            if step.filters != channels or channels % step.groups:
                return f"step {number} orders {step.filters} channels in {step.groups} groups, not {channels}", 0, 0
        elif isinstance(step, Concatenation):
            ends = [_chain_fault(branch, channels) for branch in step.branches]
            fault = next((fault for fault, _, _ in ends if fault), "")
            if fault or len({stride for _, _, stride in ends}) != 1:
                return f"a branch of step {number}: {fault or 'its stride is not that of the others'}", 0, 0
            channels, stride = step.filters, stride * ends[0][2]
        else:
            return f"step {number} is a {type(step).__name__}, which is no step", 0, 0
    return "", channels, stride
