"""Errors that the user can fix."""


class DataError(ValueError):
    """A user's error about data, in one line: what was expected, what was found, where, and what to do."""


class LostWorkerError(DataError):
    """A worker process died. Finished work is kept, and the same command does only the rest of the work."""
