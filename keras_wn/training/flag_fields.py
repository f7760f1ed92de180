"""Makes command-line flags out of the fields of a dataclass, so that each is stated once.

A field holds a flag's name, type, default, help and allowed values. The flags of absl, the check of
their values and the records in result files are all made from the fields.
"""

import dataclasses
import math
import typing
from collections.abc import Callable, Iterable
from typing import Any

from absl import flags

from keras_wn.errors import UsageError

REQUIRED = dataclasses.MISSING
# Names, or a function that returns them where they can grow after this module is imported.
Choices = Iterable[str] | Callable[[], Iterable[str]]
# A test of a number, and the same in words.
Range = tuple[Callable[[float], bool], str]
# A test of the whole dataclass, and the same in words.
Condition = tuple[Callable[[Any], bool], str]
POSITIVE: Range = (lambda x: x > 0, "a number above 0")
NOT_NEGATIVE: Range = (lambda x: x >= 0, "0 or more")
SHARE: Range = (lambda x: 0 <= x < 1, "at least 0 and less than 1")

# Nobody means more, and arrays of integers cannot hold it.
LARGEST_INTEGER = 2**32 - 1

# Characters of a value in a message.
_SHOWN = 200

_DEFINE = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}


def flag(
    default: Any,
    text: str,
    choices: Choices | None = None,
    allowed: Range | None = None,
    needs: Condition | None = None,
) -> Any:
    """A field of a dataclass that is a flag as well.

    Args:
        default: Value of the field and of the flag. `REQUIRED` for a field without a default, whose
            flag is None if not given.
        text: Help, in whole sentences. The allowed names or numbers are added to it.
        choices: Names that are allowed, for a text.
        allowed: `Range` of numbers that are allowed.
        needs: `Condition` without which the flag has no effect. None if it always has one.

    Returns:
        Field, for the body of a dataclass.
    """
    metadata = {"text": text, "choices": choices, "allowed": allowed, "needs": needs}
    return dataclasses.field(default=default, metadata=metadata)


def define(config: type, **defaults: Any) -> None:
    """Defines the flags of a dataclass.

    Args:
        config: Dataclass. Its fields that are made by `flag` become flags.
        **defaults: Values that replace the fields' own.
    """
    for field in _flags(config):
        kinds = [
            kind for kind in typing.get_args(field.type) or (field.type,) if kind is not type(None)
        ]
        default = None if field.default is REQUIRED else field.default
        _DEFINE[kinds[0]](field.name, defaults.get(field.name, default), _help(field))


def read(config: type) -> Any:
    """The dataclass with the values of the flags, which must be parsed."""
    return config(**values(config))


def values(config: type) -> dict[str, Any]:
    """The values of the flags of a dataclass by name. The flags must be parsed."""
    return {field.name: flags.FLAGS[field.name].value for field in _flags(config)}


def check_choices(config: Any) -> None:
    """Raises `UsageError` for the first text that is empty, or none of its field's choices."""
    for field in _flags(config):
        value, choices = getattr(config, field.name), _choices(field)
        check_not_empty(field.name, value)
        if choices and value is not None and value not in choices:
            raise UsageError(f"--{field.name}={value}: unknown. Allowed: {', '.join(choices)}.")


def check_not_empty(name: str, value: Any) -> None:
    """Raises `UsageError` if the value of a flag is an empty text."""
    if value == "":
        raise UsageError(f"--{name}=: empty. Allowed: a value, or leave the flag out.")


def check_ranges(config: Any) -> None:
    """Raises `UsageError` for the first number that its field does not allow."""
    for field in _flags(config):
        value = getattr(config, field.name)
        if field.metadata["allowed"] and value is not None:
            is_allowed, text = field.metadata["allowed"]
            # Python's integers have no bound, and some are larger than any float.
            if isinstance(value, int) and value > LARGEST_INTEGER:
                text += f", at most {LARGEST_INTEGER}"
            elif math.isfinite(value) and is_allowed(value):
                continue
            raise UsageError(f"--{field.name}={shortened(value)}: not allowed. Allowed: {text}.")


def check_effects(config: Any) -> None:
    """Raises `UsageError` for the first flag on the command line that has no effect.

    Args:
        config: The dataclass with the values of the flags, resolved.
    """
    for field in _flags(config):
        if field.metadata["needs"] and flags.FLAGS[field.name].present:
            has_effect, text = field.metadata["needs"]
            if not has_effect(config):
                value = flags.FLAGS[field.name].value
                raise UsageError(f"--{field.name}={value}: has no effect. Allowed: {text}.")


def shortened(value: Any) -> str:
    """A value as text, without its middle if it is long."""
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}...{text[-_SHOWN // 2 :]}"


def _flags(config):
    """The fields that are made by `flag`; a dataclass may have others."""
    return [field for field in dataclasses.fields(config) if "choices" in field.metadata]


def _choices(field):
    choices = field.metadata["choices"]
    return choices() if callable(choices) else choices


def _help(field):
    text = field.metadata["text"]
    if choices := _choices(field):
        text += f" Allowed: {', '.join(choices)}."
    elif field.metadata["allowed"]:
        text += f" Allowed: {field.metadata['allowed'][1]}."
    return text
