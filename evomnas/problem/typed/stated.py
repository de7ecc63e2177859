"""Faults of values of a pydantic model in one line: of one that is made by hand, or read from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from evomnas.core.errors import InputError

MAX_FAULTS = 5  # that a message lists

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # which has no public name


class Stated(ModelMetaclass):
    """Lets a problem that is made by hand say in one line what is wrong. pydantic's own way in is another one."""

    def __call__(self, *args: Any, **values: Any) -> Any:
        how = "load_definition reads a problem: a built-in one, as load_definition('digits'), a file, or a folder"
        if args:
            raise InputError(f"{self.__name__} takes its sections by name; {how}")
        try:
            return super().__call__(**values)
        except ValidationError as error:
            raise InputError(f"{self.__name__}: {describe_faults(error)}. {how}") from None


def describe_faults(error: ValidationError, prefix: str = "") -> str:
    """Return what is wrong with values from outside, each with its place.

    Args:
        error: The faults.
        prefix: Put before every place.
    """
    places = [_place(prefix, ".".join(map(str, fault["loc"])), fault["msg"]) for fault in error.errors()]
    more = [f"and {len(places) - MAX_FAULTS} more"] if len(places) > MAX_FAULTS else []
    return "; ".join(places[:MAX_FAULTS] + more)


def _place(prefix: str, place: str, message: str) -> str:
    return ": ".join(filter(None, (f"{prefix}{place}", message.removeprefix("Value error, "))))
