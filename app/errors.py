"""Errors that the user, not a programmer, can resolve."""


class UserError(Exception):
    """Input that cannot be used; the message is one line that says what was expected, what was found and what to do."""


class TemporaryError(UserError):
    """A failure for which the input is not to blame; the same command may succeed when it is started again."""
