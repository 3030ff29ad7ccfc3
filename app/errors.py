"""Errors that the user, not a programmer, can resolve."""


class UserError(Exception):
    """The error raised for unusable input. The message is one line: what was expected, what was found, what to do."""


class TemporaryError(UserError):
    """The error raised for a temporary problem, which the input does not cause.

    The same command may succeed when it is started again.
    """
