"""Defines what a question of the study consists of: its claims, its trials, and what it tells.

Each file of `questions/` answers one. `comparisons.py` and `limits.py` have what several share.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from keras_wn.study.blocks import Block, Section
from keras_wn.study.specs import Done, Planner, TrialSpec
from keras_wn.study.table import TrialTable
from keras_wn.study.trial_lists import TrialLinks
from keras_wn.study.verdicts import Verdict

# Name the source of a reported finding: the paper itself, or a text about it.
READ = "read"
SECOND_HAND = "second-hand"

ABSTRACT = "Gitman & Ginsburg 2017, arXiv 1709.08145, abstract"
NOTES = "seminar notes on the paper, berkeley-deep-learning/cs294-131-f17"

# The rule that all claims share. `{level:g}` stands for the protocol's.
GENERAL = (
    "A difference is paired by seed. Its interval is Student's, and for test top-1 its error "
    "includes the noise of the test images, which are crossed with the seeds. At each look, the "
    "level is that of Lan and DeMets for {level:g} over all looks, with Holm's correction over "
    "the methods of a claim. Two methods are equal within a margin if two one-sided tests say so "
    "at the same level, even if the small difference between them is decided, too. Trials that "
    "diverged are left out of differences, and counted beside them."
)


@dataclasses.dataclass(frozen=True)
class Reported:
    """A finding of the paper.

    Attributes:
        text: The finding, with its number if there is one.
        source: The text in which it was read.
        tag: `READ` if that is the paper itself, or `SECOND_HAND`.
    """

    text: str
    source: str
    tag: str


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim, and the rule that decides it.

    Attributes:
        key: Short name.
        text: The claim in the words of this study.
        rule: The rule in words, which is written to the log before the first trial. `{margin}`
            stands for the protocol's margin in points.
        judge: The rule in code.
        evidence: Function of the trials, the verdict and the links to trials: the blocks of the
            report on which the verdict rests.
        reported: The findings of the paper that the claim rests on. Empty for our own question.
    """

    key: str
    text: str
    rule: str
    judge: Callable[[TrialTable], Verdict]
    evidence: Callable[[TrialTable, Verdict, TrialLinks], Iterable[Block]]
    reported: tuple[Reported, ...] = ()


# The verdicts by the keys of their claims.
Verdicts = Mapping[str, Verdict]


@dataclasses.dataclass(frozen=True)
class Question:
    """A question of the study.

    Attributes:
        name: Its name, and that of its suite of trials.
        settings: The class of its settings in `Protocol`, which has the same `name`. None if it has
            none of its own.
        plan: Function of a `Planner` and of the trials that are done: all trials of the question
            that are known by now. None if others plan them.
        claims: The claims that it decides.
        findings: Function of the verdicts: the sentences that say what was found.
        place: Place of these sentences among those of all questions, from 1.
        sections: Function of the trials and the links to trials: sections of the report that are
            about no claim.
        is_exploratory: Whether it decides nothing, so that only its own name plans its trials, and
            `--suite=all` does not.
    """

    name: str
    settings: type | None = None
    plan: Callable[[Planner, Done], Sequence[TrialSpec]] | None = None
    claims: tuple[Claim, ...] = ()
    findings: Callable[[Verdicts], Sequence[str]] = lambda verdicts: ()
    place: int = 0
    sections: Callable[[TrialTable, TrialLinks], Iterable[Section]] = lambda trials, links: ()
    is_exploratory: bool = False
