"""Lists the questions of the study, each of which is answered in a file of its own."""

from keras_wn.study.question import GENERAL, Claim, Verdicts
from keras_wn.study.questions import (
    accuracy,
    batch_free,
    cost,
    ingredients,
    regularization,
    signal,
    stability,
    work,
)
from keras_wn.study.table import TrialTable
from keras_wn.study.verdicts import Verdict

# In the order in which their trials are planned, and listed in the report.
QUESTIONS = tuple(
    module.QUESTION
    for module in (accuracy, stability, regularization, work, signal, cost, batch_free, ingredients)
)
# The questions that have trials of their own, by name.
SUITES = {question.name: question for question in QUESTIONS if question.plan}
SETTINGS = tuple(question.settings for question in QUESTIONS if question.settings)
CLAIMS = tuple(
    sorted((claim for question in QUESTIONS for claim in question.claims), key=lambda c: c.key)
)


def rules(margin: float, level: float) -> dict[str, str]:
    """The rules in words, for the protocol's line of the log.

    Example:

    >>> rules(margin=0.5, level=0.05)["C3"][:56]
    'Holds for a method if its test top-1 is decidably above '
    """
    return {
        "all": GENERAL.format(level=level),
        **{claim.key: claim.rule.format(margin=margin) for claim in CLAIMS},
    }


def judge(trials: TrialTable) -> dict[Claim, Verdict]:
    """Judges all claims, in the paper's order."""
    return {claim: claim.judge(trials) for claim in CLAIMS}


def findings(judged: dict[Claim, Verdict]) -> list[str]:
    """The sentences that say what was found, in the order of what most readers want to know."""
    verdicts: Verdicts = {claim.key: verdict for claim, verdict in judged.items()}
    told = sorted(QUESTIONS, key=lambda question: question.place)
    return [sentence for question in told for sentence in question.findings(verdicts)]
