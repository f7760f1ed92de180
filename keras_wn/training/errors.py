"""The error that a user can mend."""


class UsageError(ValueError):
    """A flag, file or folder is not as it must be: one line that quotes it and says what is allowed."""
