"""The errors that a user, not a programmer, is to mend."""


class UserError(Exception):
    """What the user gave cannot be used; the message is one line: what was expected, received, and what to do."""


class TemporaryError(UserError):
    """Nothing is wrong with what the user gave: the same command may succeed when it is started again."""
