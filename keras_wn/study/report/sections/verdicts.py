"""The verdicts, a row a claim."""

import itertools

from keras_wn.study.analysis import claims
from keras_wn.study.report import numbers
from keras_wn.study.report.document import Bullets, Chip, Lines, Paragraph, Section, Table

_KINDS = {
    claims.AGREES: "agrees",
    claims.DISAGREES: "disagrees",
    claims.UNDECIDED: "undecided",
    claims.UNMEASURED: "unmeasured",
}
_TAGS = {"read": "read there", "second-hand": "read second-hand"}


def section(context):
    """The verdict table.

    Args:
        context: `Context`.

    Returns:
        `Section`.
    """
    table = Table(
        "The paper's claims, and what was measured here. [ ] is a 95 % interval.",
        ("Claim of the paper", "Verdict", "Measured here", "The paper reported"),
        tuple(_row(context, claim, verdict) for claim, verdict in context.verdicts.items()),
        kind="wide verdicts",
    )
    lead = Paragraph(
        "The paper's numbers are given as reported. They were measured on other data, networks and machines."
    )
    return Section("verdicts", "Verdicts", (lead, table, _rules(context)))


def _row(context, claim, verdict):
    return (
        f"{claim.key}. {claim.text}",
        Lines(((Chip(verdict.outcome, _KINDS[verdict.outcome]),), verdict.reason)),
        Lines(tuple(_evidence(context, verdict.evidence)) or ("Not measured.",)),
        Lines(tuple(f"{reported.text} ({reported.source}; {_TAGS[reported.tag]})" for reported in claim.reported)),
    )


def _evidence(context, evidence):
    for (quantity, beside), pieces in itertools.groupby(evidence, lambda piece: (piece.quantity, piece.beside)):
        pieces = list(pieces)
        ids = dict.fromkeys(trial for piece in pieces for trial in piece.trials)
        heading = f"Beside: {quantity}" if beside else f"{quantity[0].upper()}{quantity[1:]}"
        yield (f"{heading} (trials: ", *_joined(context.groups.links(ids)), ")")
        for piece in pieces:
            yield from _number(context, piece)


def _joined(links):
    for i, link in enumerate(links):
        yield from (", ", link) if i else (link,)


def _number(context, piece):
    if piece.estimate is None:
        yield f"{piece.method}: nothing to compare"
        return
    number = context.groups.link(numbers.of_unit(piece.estimate, piece.unit), piece.trials)
    yield (
        f"{piece.method}: ",
        number,
        f", n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{numbers.counted(piece.estimate.n, piece.pairs.removesuffix('s'))}",
    )


def _rules(context):
    items = [
        f"A number decides if its 95 % interval lies on one side of the bound, from {claims.MINIMUM} pairs on; with fewer there is no "
        "verdict. A claim about WN, NormProp and WN with TReLU agrees if it decidably holds for each of them that was measured, "
        "and disagrees if it decidably fails for one. Intervals are not corrected for the number of comparisons.",
        *(f"{claim.key}: {claim.rule}" for claim in context.verdicts),
    ]
    return Section("rules", "What decides", (Bullets(tuple(items)),))
