"""Finds a vocabulary size that is possible for a text.

Possible sizes are between a minimum and a maximum. The minimum depends on the number of distinct characters in the
text. The maximum grows with the length of the text. In a small text there may be no multiple of 8 between the minimum
and the maximum.
"""

from collections.abc import Callable

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.vocabulary.training import ImpossibleSizeError

USUAL_SIZE = 32_000

_ENOUGH_CHARACTERS = 1_000_000  # text of this length allows any size above its minimum


def train_feasible_model(train: Callable[[int], bytes], size: int | None, *, characters: int) -> bytes:
    """Trains a model of `size` pieces. If `size` is None, trains `USUAL_SIZE` pieces, or fewer if the text is small.

    Args:
        train: A function that trains a model of a given size, as `train_model` does.
        size: A multiple of 8, or None.
        characters: The number of characters of the text.

    Raises:
        DataError: For the same reasons as in `train_model`. If the message suggests another size, a model of that size
            can be trained.
    """
    try:
        return train(size or USUAL_SIZE)
    except ImpossibleSizeError as error:
        if error.nearest > (size or USUAL_SIZE) and characters >= _ENOUGH_CHARACTERS:
            raise  # verifying the suggested size would take long
        model = _train_nearest(train, error)
        if size is None and error.nearest < USUAL_SIZE:
            return model
        raise


def _train_nearest(train: Callable[[int], bytes], error: ImpossibleSizeError) -> bytes:
    """Trains a model of the size that `error` suggests. Raises a `DataError` if that size is impossible, too."""
    try:
        return train(error.nearest)
    except ImpossibleSizeError as other:
        raise DataError(
            f"the text is too small for a vocabulary of any size: {min(error.nearest, other.nearest)} pieces cannot "
            f"hold its characters, and it is too small for {max(error.nearest, other.nearest)}; give more text"
        ) from other
