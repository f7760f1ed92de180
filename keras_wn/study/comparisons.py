"""Compares trials in top-1: the comparisons that several claims rest on, and how they are drawn."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from keras_wn.study import forest
from keras_wn.study.blocks import Table
from keras_wn.study.canvas import Panel, short
from keras_wn.study.formatting import MISSING, listed, points
from keras_wn.study.table import TrialTable
from keras_wn.study.trial_lists import TrialLinks
from keras_wn.study.verdicts import (
    FAILS,
    HOLDS,
    UNDECIDED,
    UNMEASURED,
    Comparison,
    Piece,
    decide,
)


def in_top1(
    trials: TrialTable,
    name: str,
    first: pd.DataFrame,
    second: pd.DataFrame,
    quantity: str = "test top-1 minus bn's",
    split: str = "test",
    **rule: object,
) -> Comparison:
    """Compares two sets of trials in top-1, in points, at the looks that both reached.

    Args:
        trials: `TrialTable`.
        name: Name of the comparison.
        first, second: Trials of two methods.
        quantity, split, **rule: As `Comparison`'s, and the split that is compared.
    """
    ran = [set(frame["seed"]) for frame in (first, second)]
    looks = tuple(
        trials.difference(first, second, split, count)
        for count in trials.protocol.looks
        if all(set(range(count)) <= seeds for seeds in ran)
    )
    diverged = [(int((f["status"] == "diverged").sum()), len(f)) for f in (first, second)]
    notes = [f"{count} of {total}" for count, total in diverged if count]
    notes = [f"diverged: {' and '.join(notes)}"] if notes else []
    if first["exploratory"].any():
        notes.append("exploratory")
    rule = {
        "above": HOLDS,
        "below": FAILS,
        "trials": (*first["id"], *second["id"]),
        "note": "; ".join(notes),
    } | rule
    return Comparison(name, quantity, "points", looks, **rule)


def decided(
    trials: TrialTable, comparisons: Iterable[Comparison], decides: bool = True
) -> list[Piece]:
    """Decides comparisons at the protocol's looks and level."""
    return decide(comparisons, trials.protocol.looks, trials.protocol.level, decides)


def in_words(
    topic: str, pieces: Iterable[Piece], words: Mapping[str, str], write: Callable[[Piece], str]
) -> str:
    """Says for which methods each outcome was found.

    Args:
        topic: What begins the sentence.
        pieces: The pieces, whose comparisons are named after methods.
        words: What an outcome means.
        write: Function of a piece: its number in text.
    """
    by_outcome: dict[str, list[str]] = {}
    for piece in pieces:
        name, is_known = piece.comparison.name, piece.outcome in words
        text = f"{name} ({write(piece)})" if is_known else name
        by_outcome.setdefault(piece.outcome, []).append(text)
    # Known outcomes come first.
    words = {**words, UNDECIDED: "undecided", UNMEASURED: "not measured"}
    parts = [
        f"{words[outcome]} with {listed(by_outcome[outcome])}"
        for outcome in sorted(by_outcome, key=(UNDECIDED, UNMEASURED).__contains__)
    ]
    if set(by_outcome) <= {UNMEASURED}:
        return f"{topic} was not measured in this study."
    return f"{topic}, compared with batch normalization: {'; '.join(parts)}."


def draw_differences(pieces: Sequence[Piece], margin: float, name: str) -> list[Panel]:
    """Draws differences in test top-1 from the baseline, of the claim's methods and of others."""
    rows = forest.of_pieces(
        pieces, lambda piece: short(piece.comparison.name), lambda piece: points(piece.estimate)
    )
    quantity = "test top-1 minus bn's"
    alt = f"{quantity}, of {', '.join(row.label for row in rows)}, with 95 % intervals."
    return forest.draw(name, alt, rows, f"{quantity}, points (band: equal)", margin=margin)


def table_of_rows(
    caption: str, by_column: Mapping[str, Sequence[forest.Row]], links: TrialLinks
) -> list[Table]:
    """The numbers of forest plots, a column each, with their trials; no table without rows."""
    found = {
        column: {row.label: links.link(row.text, row.trials) for row in rows}
        for column, rows in by_column.items()
    }
    labels = list(dict.fromkeys(label for column in found.values() for label in column))
    rows = tuple((label, *(c.get(label, MISSING) for c in found.values())) for label in labels)
    return [Table(caption, ("", *found), rows)] if rows else []
