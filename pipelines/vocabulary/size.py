"""Which size a vocabulary can have: a text has a most and a least, and no multiple of 8 may lie between them."""

from collections.abc import Callable

from pipelines.errors import DataError
from pipelines.vocabulary.training import ImpossibleSizeError

USUAL_SIZE = 32_000

_ENOUGH_CHARACTERS = 1_000_000  # of which any size can be made that holds them


def train_possible_model(train: Callable[[int], bytes], size: int | None, *, characters: int) -> bytes:
    """Gives a model of `size` pieces or, if that is None, of `USUAL_SIZE` or as many as the text permits.

    Args:
        train: gives a model of so many pieces, as `train_model` does.
        size: a multiple of 8.
        characters: how many the text has.

    Raises:
        DataError: as `train_model` does; another size that the message names is possible.
    """
    try:
        return train(size or USUAL_SIZE)
    except ImpossibleSizeError as error:
        if error.nearest > (size or USUAL_SIZE) and characters >= _ENOUGH_CHARACTERS:
            raise  # to try it would take long
        model = _tried(train, error)
        if size is None and error.nearest < USUAL_SIZE:
            return model
        raise


def _tried(train: Callable[[int], bytes], error: ImpossibleSizeError) -> bytes:
    try:
        return train(error.nearest)
    except ImpossibleSizeError as other:
        raise DataError(
            f"the text is too small for a vocabulary of any size: {min(error.nearest, other.nearest)} pieces do not "
            f"hold its characters, and it does not fill {max(error.nearest, other.nearest)}; give more text"
        ) from other
