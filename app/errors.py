"""Errors that the user, not a programmer, can resolve."""


class UserError(Exception):
    """Error of unusable input. The message is one line: what was expected, what was found and what to do."""


class TemporaryError(UserError):
    """Error that the input did not cause. The same command may succeed when it is started again."""
