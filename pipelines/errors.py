"""The errors of this package that are a person's to mend."""


class DataError(ValueError):
    """A user's mistake about data, told in one line: what was expected, what was found, where, what to do."""


class LostWorkerError(DataError):
    """A worker is gone; what was done stays, and the same command goes on with it."""
