"""The error of this package, which the server turns into status 404. This module imports no training code."""

from keras_nmt.app.errors import UserError


class MissingCheckpointError(UserError):
    """The error raised if a run does not have, or no longer has, the checkpoint of a step."""
