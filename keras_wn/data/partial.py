"""Compares the numbers of images with those published, and refuses partial data unless allowed."""

from collections.abc import Iterable
from typing import Any

from keras_wn.data import reading

_SHOWN = 5  # Parts in a message.


def check(
    data_dir: Any, found: dict[str, tuple[int, Iterable[int]]], allow_partial: bool
) -> tuple[str, ...]:
    """Refuses data that are not as many as were published.

    Args:
        data_dir: Folder, for the message.
        found: Dict from the name of each part to its number of images, and the numbers that were
            published.
        allow_partial: Whether other numbers are allowed, and said in a note.

    Returns:
        Notes for `Splits`: none if the data are whole.

    Raises:
        UsageError: With each part that is not whole, if that is not allowed.

    Example:

    >>> check("data", {"train.bin": (300, [50000])}, allow_partial=True)
    ('Partial data (--allow_partial): train.bin has 300 of 50,000 images.',)
    """
    return refuse(
        data_dir,
        [
            f"{name} has {count:,} of {' or '.join(f'{n:,}' for n in published)} images"
            for name, (count, published) in found.items()
            if count not in published
        ],
        allow_partial,
    )


def refuse(data_dir: Any, faults: list[str], allow_partial: bool) -> tuple[str, ...]:
    """Refuses partial data as `check` does. `faults` are texts that say what is missing."""
    if not faults:
        return ()
    more = f", and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    text = ", ".join(faults[:_SHOWN]) + more
    if not allow_partial:
        raise reading.fault(
            data_dir,
            f"not the data that were published: {text}. Allowed: all of them, or another number "
            "with --allow_partial.",
        )
    return (f"Partial data (--allow_partial): {text}.",)
