"""Says in six sentences what a study found, in words for readers who are new to the field."""

import dataclasses
from collections.abc import Iterable

from keras_wn import methods
from keras_wn.study.claims import Claim
from keras_wn.study.formatting import significant, with_unit
from keras_wn.study.judges import REPORTED_GAP
from keras_wn.study.table import TrialTable
from keras_wn.study.verdicts import EQUAL, FAILS, HOLDS, UNDECIDED, UNMEASURED, Piece, Verdict

_NOT_MEASURED = "was not measured in this study"


def findings(trials: TrialTable, judged: dict[Claim, Verdict]) -> list[str]:
    """The six sentences, in the order of what most readers want to know.

    Args:
        trials: `TrialTable`.
        judged: Dict from the claims to their verdicts.
    """
    by_key = {claim.key: verdict for claim, verdict in judged.items()}
    return [
        _accuracy(by_key["C3"]),
        _gap(by_key["C4"]),
        _regularization(by_key["C5"]),
        _stability(by_key["C6"]),
        _cost(by_key["C1"], by_key["C2"]),
        _batch_free(by_key["C7"]),
    ]


def _accuracy(verdict):
    words = {
        HOLDS: "more images correctly than batch normalization",
        FAILS: "fewer images correctly than batch normalization",
        EQUAL: "as many images correctly as batch normalization",
    }
    pieces = [piece for piece in verdict.pieces if piece.question.name in methods.FAMILY]
    parts = [
        f"{names} {'classifies' if one else 'classify'} {words[outcome]}"
        for outcome, names, one in _grouped(pieces, lambda p: with_unit(p.estimate, "points"))
        if outcome in words
    ]
    return _sentence("Accuracy on new images", parts, pieces)


def _gap(verdict):
    pieces = {piece.question.name: piece for piece in verdict.pieces}
    train, gap = pieces.get("train"), pieces.get("gap of 6 points")
    if train is None or gap is None:
        return f"The gap of {REPORTED_GAP:g} points that the paper saw on ImageNet {_NOT_MEASURED}."
    learned = {
        HOLDS: "Weight normalization fits its training images as well as batch normalization",
        FAILS: "Weight normalization fits its training images less well than batch normalization",
    }.get(train.outcome, "How well weight normalization fits its training images is undecided")
    size = {"the gap is smaller": "is smaller than", "the gap is larger": "is larger than"}
    return (
        f"{learned} ({with_unit(train.estimate, 'points')}); the gap on new images "
        f"({with_unit(gap.estimate, 'points')}) {size.get(gap.outcome, 'may be as large as')} the "
        f"{REPORTED_GAP:g} points that the paper saw on ImageNet."
    )


def _regularization(verdict):
    if verdict.outcome == UNMEASURED:
        return f"Whether regularization closes the gap {_NOT_MEASURED}."
    main = next(piece for piece in verdict.pieces if not piece.beside)
    words = {
        HOLDS: "does not close the whole gap to batch normalization",
        FAILS: "closes the gap to batch normalization",
    }
    if main.question.name.startswith("wn with") and main.outcome in words:
        extra = verdict.reason.split(". ", 1)[1:] or [""]
        name = main.question.name.removeprefix("wn with ")
        return f"The best regularizer, {name}, {words[main.outcome]}. {extra[0]}".strip()
    return f"Regularization: {verdict.reason[0].lower()}{verdict.reason[1:]}"


def _stability(verdict):
    words = {
        HOLDS: "need smaller learning rates than batch normalization to train at all",
        FAILS: "stand larger learning rates than batch normalization",
        EQUAL: "stand about the same learning rates as batch normalization",
    }
    singular = {
        HOLDS: "needs smaller learning rates than batch normalization to train at all",
        FAILS: "stands larger learning rates than batch normalization",
        EQUAL: "stands about the same learning rates as batch normalization",
    }
    pieces = [piece for piece in verdict.pieces if not piece.beside]
    parts = [
        f"{names} {(singular if one else words)[outcome]}"
        for outcome, names, one in _grouped(pieces, _times_smaller_or_larger)
        if outcome in words
    ]
    return _sentence("Stability of deep networks", parts, pieces)


def _cost(share, slowdown):
    pieces = [piece for piece in share.pieces if piece.estimate]
    if not pieces:
        return f"The time of a training step {_NOT_MEASURED}."
    costs = " and ".join(
        f"{100 * p.estimate.value:.0f} % with a {p.question.name.split(', ')[1]}" for p in pieces
    )
    slowed = [p for p in slowdown.pieces if p.outcome == FAILS]
    open_ = [p for p in slowdown.pieces if p.outcome == UNDECIDED]
    rest = "the weight normalizations add less than 5 % to it"
    if slowed:
        rest = f"more than 5 % is added to it by {_by_method(slowed)}"
    if open_:
        so_far = f"{rest}; " if slowed else ""
        rest = f"{so_far}whether 5 % is added by {_by_method(open_)} is undecided"
    return f"On this machine, batch normalization takes {costs} of a training step; {rest}."


def _method_and_batch(piece):
    method, batch = piece.question.name.split(", ")
    return method, batch


def _by_method(pieces):
    """The methods of steps, each with its numbers by the batch."""
    found: dict[str, list[str]] = {}
    for piece in pieces:
        method, batch = _method_and_batch(piece)
        number = f"{significant(piece.estimate.value)}× with a {batch}"
        found.setdefault(method, []).append(number)
    return _listed([f"{method} ({', '.join(numbers)})" for method, numbers in found.items()])


def _batch_free(verdict):
    if verdict.outcome == UNMEASURED:
        return f"Whether a method without batch statistics can take its place {_NOT_MEASURED}."
    pieces = [piece for piece in verdict.pieces if not piece.beside]
    found = dict.fromkeys(p.question.name for p in pieces if p.outcome == HOLDS)
    if found:
        return (
            "There is a method without batch statistics that is as accurate and as stable as batch "
            f"normalization: {_listed(list(found))}."
        )
    if verdict.outcome == FAILS:
        return (
            "None of the methods without batch statistics is both as accurate and as stable as "
            "batch normalization."
        )
    return (
        "Whether a method without batch statistics is as accurate and as stable as batch "
        "normalization is undecided."
    )


def _times_smaller_or_larger(piece):
    """The factor between bn's learning rate and a method's, the way round that the sentence has."""
    estimate = piece.estimate
    if piece.outcome != HOLDS:
        low, high = -estimate.high, -estimate.low
        estimate = dataclasses.replace(estimate, value=-estimate.value, low=low, high=high)
    return with_unit(estimate, "octaves", piece.question.is_bound)


def _grouped(pieces: Iterable[Piece], write):
    """Triples of an outcome, the names of its methods with their numbers, and whether it is one."""
    found: dict[str, list[str]] = {}
    for piece in pieces:
        if piece.estimate is not None:
            text = f"{piece.question.name} ({write(piece)})"
            found.setdefault(piece.outcome, []).append(text)
    for outcome, names in found.items():
        yield (
            outcome,
            _listed(names),
            len(names) == 1,
        )


def _listed(names):
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _sentence(topic, parts, pieces):
    open_ = [p.question.name for p in pieces if p.outcome == UNDECIDED]
    missing = [p.question.name for p in pieces if p.outcome == UNMEASURED]
    if not parts and not open_:
        return f"{topic} {_NOT_MEASURED}."
    if open_:
        parts = [*parts, f"for {_listed(open_)} it is undecided"]
    if missing and parts:
        parts = [
            *parts,
            f"{_listed(missing)} {'was' if len(missing) == 1 else 'were'} not measured",
        ]
    return f"{topic}: {'; '.join(parts)}."
