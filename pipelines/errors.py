"""The one error of this package that is a person's to mend."""


class DataError(ValueError):
    """A user's mistake about data, told in one line: what was expected, what was found, where, what to do."""
