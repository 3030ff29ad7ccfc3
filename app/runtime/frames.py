"""Frees what an error holds: the local variables of the functions that it passed through."""

import traceback
from contextlib import suppress
from types import FrameType


def release_frames(error: BaseException) -> None:
    """Clears the local variables of all frames of an error, including the frames of Keras.

    Keras removes its frames from the traceback. Keras' frames can still be reached from the frames of functions that
    Keras called.
    """
    for innermost, _ in traceback.walk_tb(error.__traceback__):
        frame: FrameType | None = innermost
        with suppress(RuntimeError):  # a frame that is still running cannot be cleared
            while frame:
                frame.clear()
                frame = frame.f_back
