"""The error that a user, not a programmer, is to mend."""


class UserError(Exception):
    """What the user gave cannot be used; the message is one line: what was expected, received, and what to do."""
