"""Defines the errors that end a run with one line."""


class UsageError(ValueError):
    """A mistake of the user, told in one line that quotes the value and says what is allowed."""


class LostProcessError(RuntimeError):
    """Another process of the run has ended, which is no mistake of the user."""
