"""Asks which ingredients of a method carry its accuracy, by a factorial design.

The compositions are all that a fraction of 32 of the 2^7 combinations has, each at its best of a
few learning rates. Effects are differences of means over halves of the compositions. The question
is exploratory: it sees validation images alone, and decides nothing.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from keras_wn.study import forest, search
from keras_wn.study.blocks import Block, Paragraph, Section, Table, figures_of
from keras_wn.study.estimates import Difference
from keras_wn.study.fields import Count
from keras_wn.study.formatting import points, significant, top1
from keras_wn.study.question import Question
from keras_wn.study.specs import BASELINE, UNNORMALIZED, Done, Planner, Setting, TrialSpec
from keras_wn.study.table import TrialTable
from keras_wn.study.trial_lists import TrialLinks
from keras_wn.study.verdicts import CONFIDENCE


@dataclasses.dataclass(frozen=True)
class Settings:
    """The trials of each composition.

    Attributes:
        rates: Learning rates that are tried.
        seeds: Seeds of each rate.
        weight_decay: Float.
        warmup_share: Share of the epochs.
    """

    name: ClassVar[str] = "ingredients"
    rates: tuple[float, ...] = (0.008, 0.024, 0.072, 0.216, 0.648, 1.944)
    seeds: Count = 3
    weight_decay: float = 5e-4
    warmup_share: float = 0.05


@dataclasses.dataclass(frozen=True)
class Factor:
    """An ingredient that a composition has or lacks.

    Attributes:
        letter: Its letter in the design.
        name: In a few words.
        options: Fields of `TrainConfig` and their values with the ingredient.
    """

    letter: str
    name: str
    options: dict[str, Any]


# Batch normalization is the card `bn`, and its absence is `none`.
_NORMALIZED = "B"
FACTORS = (
    Factor("A", "centered filters", {"center": "free"}),
    Factor(_NORMALIZED, "batch normalization", {}),
    Factor("C", "strict weight normalization", {"weights": "strict"}),
    Factor("D", "translated ReLU", {"activation": "translated"}),
    Factor("E", "gradients clipped (AGC 0.1)", {"agc": 0.1}),
    Factor("F", "branches from 0", {"branch_scalar": True, "branch_scale": 0.0}),
    Factor("G", "label smoothing 0.2", {"label_smoothing": 0.2}),
)
# The first five letters take all 32 combinations, and each of the others is minus a product of
# four of them. No main effect is mixed with an interaction of two (resolution IV), and the only
# interactions of two that are mixed with each other are CE with FG, CF with EG, and CG with EF. The
# signs make bn with centered filters and nothing else one of the compositions.
_BASE, _GENERATORS = "ABCDE", {"F": "ABCD", "G": "ABDE"}


@dataclasses.dataclass(frozen=True)
class Composition:
    """A composition of the design.

    Attributes:
        levels: Dict from each letter to 1, if it has the ingredient, and -1.
    """

    levels: dict[str, int]

    @property
    def method(self) -> str:
        """The card that it starts from."""
        return BASELINE if self.levels[_NORMALIZED] > 0 else UNNORMALIZED

    @property
    def options(self) -> tuple[tuple[str, Any], ...]:
        """The options of its trials."""
        chosen = [f.options for f in FACTORS if self.levels[f.letter] > 0]
        return tuple(pair for options in chosen for pair in options.items())

    @property
    def title(self) -> str:
        """Its ingredients in words."""
        names = [f.name for f in FACTORS if self.levels[f.letter] > 0]
        return ", ".join(names) or "none of them"


def design() -> tuple[Composition, ...]:
    """The 32 compositions.

    Example:

    >>> len(design()), sum(composition.levels["F"] for composition in design())
    (32, 0)
    """
    found = []
    for signs in itertools.product((-1, 1), repeat=len(_BASE)):
        levels = dict(zip(_BASE, signs, strict=True))
        for letter, word in _GENERATORS.items():
            levels[letter] = -math.prod(levels[other] for other in word)
        found.append(Composition(levels))
    return tuple(found)


def plan(planner: Planner, done: Done) -> list[TrialSpec]:
    """The trials of all compositions. The methods must have `bn` and `none`."""
    del done
    if not {BASELINE, UNNORMALIZED} <= set(planner.methods):
        return []
    asked: Settings = planner.protocol.of("ingredients")
    return [
        _spec(planner, composition, rate, seed)
        for rate in asked.rates
        for composition in design()
        for seed in range(search.SEED, search.SEED + asked.seeds)
    ]


def _spec(planner, composition, rate, seed):
    asked: Settings = planner.protocol.of("ingredients")
    setting = Setting(rate, asked.weight_decay, asked.warmup_share)
    options = composition.options
    method = composition.method
    return planner.spec("ingredients", "factorial", method, setting, seed, options=options)


@dataclasses.dataclass(frozen=True)
class Result:
    """A composition at its best learning rate.

    Attributes:
        composition: `Composition`.
        rate: The learning rate.
        is_edge: Whether it is the lowest or the highest that was tried.
        top1: Validation top-1 of each seed.
        trials: Identities of the trials.
        diverged: Number of the trials of all rates that did not finish.
    """

    composition: Composition
    rate: float
    is_edge: bool
    top1: tuple[float, ...]
    trials: tuple[str, ...]
    diverged: int


def results(trials: TrialTable) -> list[Result]:
    """Each composition at its best learning rate; none before all trials are done.

    A trial that did not finish counts as guessing.
    """
    planner, found = trials.planner, []
    asked: Settings = trials.protocol.of("ingredients")
    known = trials.select(suite="ingredients").set_index("id")
    for composition in design():
        by_rate, diverged = {}, 0
        for rate in asked.rates:
            seeds = range(search.SEED, search.SEED + asked.seeds)
            ids = [_spec(planner, composition, rate, seed).id for seed in seeds]
            if any(trial not in known.index for trial in ids):
                return []
            own = known.loc[ids]
            finished = own["status"] == "finished"
            diverged += int((~finished).sum())
            by_rate[rate] = own["validation"].where(finished, 1 / trials.classes), ids
        best = max(by_rate, key=lambda rate: by_rate[rate][0].mean())
        values, ids = by_rate[best]
        is_edge = best in (min(asked.rates), max(asked.rates))
        found.append(Result(composition, best, is_edge, tuple(values), tuple(ids), diverged))
    return found


@dataclasses.dataclass(frozen=True)
class Effect:
    """The effect of one ingredient, or the interaction of two.

    Attributes:
        letters: The letters, in their order.
        mixed: The letters of the interaction that it cannot be told apart from, or empty.
        difference: In points. That of two ingredients is half of what one changes the effect of the
            other by.
    """

    letters: str
    mixed: str
    difference: Difference


def effects(found: list[Result]) -> list[Effect]:
    """Main effects, and interactions of two, with errors from the spread between seeds.

    With y the top-1 of composition r with seed s, an effect is `2 mean(x_r y_rs)`, where x is 1 or
    -1. Its error is `2 sqrt(S / n)` with n numbers y and S the mean square of what composition and
    seed leave. The choice of the best rate is not in it.

    Reference: Box, Hunter & Hunter 2005, Statistics for Experimenters, chapter 6.
    """
    y = 100 * np.array([result.top1 for result in found])
    rest = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0) + y.mean()
    freedom = (y.shape[0] - 1) * (y.shape[1] - 1)
    error = 2 * math.sqrt((rest**2).sum() / freedom / y.size) if freedom else math.inf
    letters = [factor.letter for factor in FACTORS]
    words = [*letters, *map("".join, itertools.combinations(letters, 2))]
    effects, seen = [], {}
    for word in words:
        signs = tuple(math.prod(r.composition.levels[x] for x in word) for r in found)
        if (opposite := tuple(-s for s in signs)) in seen or signs in seen:
            # The second of two that cannot be told apart.
            other = seen.get(signs, seen.get(opposite))
            effects[other] = dataclasses.replace(effects[other], mixed=word)
            continue
        seen[signs] = len(effects)
        value = float(2 * np.mean(np.array(signs) * y.mean(axis=1)))
        effects.append(Effect(word, "", Difference(value, error, freedom, y.size)))
    return effects


def sections(trials: TrialTable, links: TrialLinks) -> Iterator[Section]:
    """The section on the ingredients, when all compositions are done."""
    if len(trials.select(suite="ingredients")) and (found := results(trials)):
        blocks = tuple(_blocks(trials, found, links))
        title = "Which ingredients carry accuracy (exploratory)"
        yield Section("ingredients", title, blocks, "", "Ingredients")


def _blocks(trials: TrialTable, found: list[Result], links: TrialLinks) -> Iterator[Block]:
    asked: Settings = trials.protocol.of("ingredients")
    yield Paragraph(
        f"{len(found)} compositions of {len(FACTORS)} ingredients, a fraction of resolution IV of "
        f"all combinations, each at the best of {len(asked.rates)} learning rates by the mean of "
        f"{asked.seeds} seeds. All numbers are of validation images. The intervals hold the spread "
        "between seeds, and neither the choice of the rate nor the number of effects that are "
        "looked at. This is exploratory, and decides nothing."
    )
    rows = [
        forest.Row(
            _label(effect),
            "",
            effect.difference.interval(CONFIDENCE),
            points(effect.difference.interval(CONFIDENCE)),
        )
        for effect in effects(found)
    ]
    mains, pairs = rows[: len(FACTORS)], rows[len(FACTORS) :]
    yield from figures_of(
        "Effects on validation top-1 in points, with 95 % intervals: of each ingredient, and of "
        "two together, which is half of what one changes the effect of the other by.",
        [
            *forest.draw(
                "ingredients",
                "The effect of each ingredient on validation top-1.",
                mains,
                "effect on validation top-1, points",
            ),
            *forest.draw(
                "ingredients_pairs",
                "The interaction of each pair of ingredients in validation top-1.",
                pairs,
                "interaction in validation top-1, points",
            ),
        ],
    )
    table = tuple(
        (
            result.composition.title,
            links.link(top1(float(np.mean(result.top1))), result.trials),
            significant(result.rate) + (" (an edge)" if result.is_edge else ""),
            str(result.diverged),
        )
        for result in sorted(found, key=lambda result: -np.mean(result.top1))
    )
    columns = ("Ingredients", "Validation top-1, %", "Best learning rate", "Diverged, of all rates")
    yield Table("The compositions at their best learning rates.", columns, table)


def _label(effect):
    by_letter = {factor.letter: factor.name for factor in FACTORS}
    if len(effect.letters) == 1:
        return f"{effect.letters}: {by_letter[effect.letters]}"
    return " or ".join(f"{a} with {b}" for a, b in filter(None, (effect.letters, effect.mixed)))


QUESTION = Question(
    name="ingredients", settings=Settings, plan=plan, sections=sections, is_exploratory=True
)
