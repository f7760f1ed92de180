"""The methods' part in the study."""

# What all others are compared with, and what steps are timed against.
BASELINE = "bn"
UNNORMALIZED = "none"
# The paper's "WN algorithms": a claim about them is one about each of them.
FAMILY = ("wn", "normprop", "wn_trelu")

_ORDER = (UNNORMALIZED, BASELINE, *FAMILY, "wn_robust", "wn_mobn", "bwn")


def ordered(names):
    """Names without repetition, in the order of tables and plots; unknown ones last, by alphabet.

    Example:

    >>> ordered(["wn", "a_new_one", "bn", "wn"])
    ('bn', 'wn', 'a_new_one')
    """
    return tuple(sorted(set(names), key=place))


def place(name):
    """Key that sorts methods as in tables and plots."""
    return _ORDER.index(name) if name in _ORDER else len(_ORDER), name


def of_trials(trials):
    """Names of the methods of trials, in the order of tables and plots."""
    return ordered(trial.method for trial in trials)


def absent(names):
    """Those of the paper's WN algorithms that are not among these names.

    Example:

    >>> absent(["bn", "wn"])
    ('normprop', 'wn_trelu')
    """
    return tuple(name for name in FAMILY if name not in names)
