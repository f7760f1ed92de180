"""The error that a user can mend."""


class UsageError(ValueError):
    """A mistake that the user can mend: one line that quotes a value and says what is allowed."""
