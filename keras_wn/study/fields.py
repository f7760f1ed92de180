"""Reads dataclasses from JSON, and refuses a value that does not have the type of its field.

A log may come from anywhere. What it says becomes file names, links and text of a page, settings of
networks, and numbers, so that each value must have the type and the form that the study writes.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from keras_wn import methods, models
from keras_wn.training.config import TrainConfig
from keras_wn.training.flag_fields import shortened

# No number of a study comes near it.
_LARGEST = 1e300
_OPTIONS = {field.name: field for field in dataclasses.fields(TrainConfig)}
_IN_WORDS = {int: "an integer", float: "a number", str: "text", bool: "true or false"}


def one_of(names: Callable[[], Iterable[str]] | Iterable[str]) -> Callable[[Any, str], str]:
    """A reader of text of a list, which may grow after this module is imported."""

    def read_name(value, place):
        allowed = names() if callable(names) else names
        if not isinstance(value, str) or value not in allowed:
            raise refused(place, value, ", ".join(allowed))
        return value

    return read_name


def matching(pattern: str) -> Callable[[Any, str], str]:
    """A reader of text that matches a pattern as a whole."""

    def read_text(value, place):
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise refused(place, value, f"text of the form {pattern}")
        return value

    return read_text


def _count(value, place):
    if not _is_of(value, (int,)) or value < 0:
        raise refused(place, value, "an integer of 0 or more")
    return value


def _scalar(value, place):
    if value is not None and not _is_of(value, (int, float, str)):
        raise refused(place, value, "text or a number")
    return value


def _option(value, place):
    if not isinstance(value, list | tuple) or len(value) != 2 or value[0] not in _OPTIONS:
        raise refused(place, value, "a pair of a flag of the runner and its value")
    name, setting = value
    field = _OPTIONS[name]
    kinds = typing.get_args(field.type) if isinstance(field.type, types.UnionType) else [field.type]
    kinds = [*kinds, int] if float in kinds else list(kinds)
    if not _is_of(setting, tuple(kinds)):
        raise refused(place, value, f"a value of --{name}")
    if choices := field.metadata.get("choices"):
        one_of(choices)(setting, place)
    return name, setting


Count = Annotated[int, _count]
Name = Annotated[str, matching("[A-Za-z][A-Za-z0-9_]{0,60}")]
MethodName = Annotated[str, one_of(methods.names)]
ModelName = Annotated[str, one_of(models.names)]
Scalar = Annotated[Any, _scalar]
# A field of `TrainConfig` and its value.
Option = Annotated[tuple, _option]


def read(kind: Any, value: Any, place: str = "", or_null: str = "") -> Any:
    """Reads a value that JSON holds as a type.

    Args:
        kind: A dataclass; `int`, `float`, `str` or `bool`; a tuple or a dict of such types; one of
            them or None; or `Annotated` with a function of the value and its place, which returns
            the value or raises an error.
        value: What JSON holds.
        place: Text that says where the value is.
        or_null: Text that ends the list of what is allowed.

    Returns:
        The value, with dataclasses for objects and tuples for lists.

    Raises:
        ValueError: For the first value that is not allowed, with its place, and what is allowed.

    Example:

    >>> read(dict[str, tuple[Count, ...]], {"epochs": [1, -2]})
    Traceback (most recent call last):
        ...
    ValueError: epochs.1 is -2. Allowed: an integer of 0 or more
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if type(None) in inner:
        # It is this type, or None.
        return None if value is None else read(inner[0], value, place, " or null")
    if origin is Annotated:
        return inner[1](value, place)
    if origin is tuple:
        return _read_tuple(inner, value, place)
    if origin is dict:
        if not isinstance(value, dict):
            raise refused(place, value, "an object")
        return {
            read(inner[0], key, f"the key in {place}"): read(inner[1], item, _inside(place, key))
            for key, item in value.items()
        }
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, value, place)
    if not _is_of(value, (int, float) if kind is float else (kind,)):
        raise refused(place, value, _IN_WORDS[kind] + or_null)
    return value


def refused(place: str, value: Any, allowed: str) -> ValueError:
    """The error for a value that is not allowed."""
    return ValueError(f"{place} is {shortened(repr(value))}. Allowed: {allowed}")


def _read_tuple(kinds, value, place):
    is_open = kinds[-1] is Ellipsis
    if not isinstance(value, list | tuple) or (not is_open and len(value) != len(kinds)):
        raise refused(place, value, "a list" if is_open else f"a list of {len(kinds)}")
    return tuple(
        read(kinds[0 if is_open else number], item, _inside(place, number))
        for number, item in enumerate(value)
    )


def _read_dataclass(kind, value, place):
    if not isinstance(value, dict):
        raise refused(place, value, "an object")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if others := sorted(map(str, value.keys() - fields.keys())):
        raise refused(f"the key in {place or 'the record'}", others[0], ", ".join(fields))
    for name, field in fields.items():
        if name not in value and field.default is dataclasses.MISSING:
            raise ValueError(f"{_inside(place, name)} is missing")
    return kind(
        **{
            name: read(fields[name].type, item, _inside(place, name))
            for name, item in value.items()
        }
    )


def _is_of(value, kinds):
    # Python's booleans are integers, and JSON's are not.
    if isinstance(value, bool):
        return bool in kinds
    # A number of JSON may be infinite, or larger than any float.
    is_large = isinstance(value, int | float) and not abs(value) < _LARGEST
    return isinstance(value, kinds) and not is_large


def _inside(place, key):
    return f"{place}.{key}" if place else str(key)
