"""Errors that the user can fix."""


class DataError(ValueError):
    """An error in the data or the options that the user can fix.

    The message is one line: what was expected, what was found, where, and what to do.
    """


class LostWorkerError(DataError):
    """The error raised if a worker process died.

    Finished work is kept. If the user runs the same command again, it does only the rest of the work.
    """
