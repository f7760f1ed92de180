"""What a claim of the paper is to this study."""

import dataclasses
from collections.abc import Callable

# How far a reported number can be trusted to be the paper's.
READ = "read"
SECOND_HAND = "second-hand"

ABSTRACT = "Gitman & Ginsburg 2017, arXiv 1709.08145, abstract"
NOTES = "seminar notes on the paper, berkeley-deep-learning/cs294-131-f17"


@dataclasses.dataclass(frozen=True)
class Reported:
    """Something that the paper found.

    Attributes:
        text: What it found, with its number if there is one.
        source: Where that was read.
        tag: `READ` if that is the paper itself, or `SECOND_HAND`.
    """

    text: str
    source: str
    tag: str


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim, and how this study answers it.

    Attributes:
        key: Short name.
        text: The claim in our words.
        reported: Tuple of `Reported`.
        suite: Name of the suite that answers it.
        rule: When the verdict is what, in words; thresholds that are ours are called so.
        judge: Function from `Results` to `Verdict`.
    """

    key: str
    text: str
    reported: tuple
    suite: str
    rule: str
    judge: Callable
