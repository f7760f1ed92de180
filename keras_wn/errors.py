"""The errors that end a run by one line."""


class UsageError(ValueError):
    """A mistake that the user can mend: one line that quotes a value and says what is allowed."""


class LostProcessError(RuntimeError):
    """Another process of the run has ended, which is no mistake of the user."""
