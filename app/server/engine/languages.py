"""Comparison of language codes in any notation, and identification of the language of a text."""

import math
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from babel import Locale, UnknownLocaleError
from langcodes import Language, tag_distance
from langcodes.tag_parser import LanguageTagError
from lxml import etree
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from keras_nmt.pipelines.language_codes import base_of, standard

MAX_REGION_DISTANCE = 5  # CLDR's distance between pt-BR and pt-PT
MAX_READ_CHARACTERS = 4_000  # the identifier reads only this many characters of a text
MIN_REPORTED = 1.0  # percent; a language that is not served is reported from this probability on
UNLIKELY = 0.0001  # percent; English is less probable for 2 of 6,000 frequent English words and 0 of 4,000 sentences
NO_LANGUAGE = "zxx"  # the identifier's code for program code
# fmt: off
INVISIBLE = frozenset(("script", "style", "template", "noscript", "svg", "math", "code", "pre", "kbd", "samp", "var"))
# fmt: on


class Detected(NamedTuple):
    """A language and its probability, in percent, among all languages that the identifier knows."""

    language: str
    confidence: float


@lru_cache(maxsize=4096)
def distance(asked: str, served: str) -> int | None:
    """Returns the distance between a requested and a served language.

    Returns:
        0 if both codes mean the same, a positive number if only the regions differ, or None for another language or
        another script.
    """
    if asked == served or standard(asked) == standard(served):
        return 0
    try:
        if Language.get(asked).maximize().script != Language.get(served).maximize().script:
            return None
        found = 1 + int(tag_distance(asked, served))
    except LanguageTagError:
        return None
    return found if found <= 1 + MAX_REGION_DISTANCE else None


def pair_distance(asked: tuple[str, str], served: tuple[str, str]) -> int | None:
    """Returns the sum of the distances of the source and target languages, or None if one of the distances is None."""
    distances = [distance(one, other) for one, other in zip(asked, served, strict=True)]
    return None if None in distances else sum(filter(None, distances))


@lru_cache
def language_name(code: str) -> str:
    """Returns the English name of a language code, or the code itself if the code is unknown."""
    try:
        return Locale.parse(standard(code), sep="-").english_name or code
    except (UnknownLocaleError, ValueError):
        return code


def detect(text: str, languages: Collection[str]) -> list[Detected]:
    """Identifies the language of a text.

    Args:
        text: A text of any length.
        languages: Served languages, which are always in the result.

    Returns:
        The served languages and the other languages of at least `MIN_REPORTED` percent, the most likely first. For a
        text without letters, only the alphabetically first served language, with confidence 0.
    """
    reported = [one for one in _ranked(text, languages) if one.language in languages or one.confidence >= MIN_REPORTED]
    return [Detected(language, round(confidence, 1)) for language, confidence in reported]


def source_of(text: str, languages: Collection[str]) -> Detected:
    """Returns the most likely language of a text among the served languages.

    If all served languages are less likely than `UNLIKELY`, returns the most likely of all languages that the
    identifier knows. This rule is not used if the identifier does not know one of the served languages, because such a
    language cannot be excluded.

    Args:
        text: A text of any length.
        languages: Served languages.
    """
    ranked = _ranked(text, languages)
    likeliest = next(one for one in ranked if one.language in languages)
    if likeliest.confidence < UNLIKELY and all(map(is_known, languages)):
        likeliest = ranked[0]
    return Detected(likeliest.language, round(likeliest.confidence, 1))


def _ranked(text: str, languages: Collection[str]) -> list[Detected]:
    """Returns the served languages and the languages that the identifier knows, the most likely first.

    A served language has the code under which it is served. For a text without letters, returns only the alphabetically
    first served language, with confidence 0.
    """
    text = text[:MAX_READ_CHARACTERS]
    if not any(map(str.isalpha, text)):
        return [Detected(language, 0.0) for language in sorted(languages)][:1]
    percent: dict[str, float] = dict.fromkeys(sorted(languages), 0.0)
    for found, probability in probabilities(text).items():
        code = next((language for language in sorted(languages) if is_same_language(language, found)), found)
        percent[code] = percent.get(code, 0.0) + 100 * probability
    return sorted((Detected(*one) for one in percent.items()), key=lambda one: -one.confidence)


def probabilities(text: str) -> dict[str, float]:
    """Returns the probability of each language that the identifier knows: the softmax of the log-probabilities."""
    ranked = [(language, value) for language, value in _identifier().rank(text) if language != NO_LANGUAGE]
    largest = max(value for _, value in ranked)
    found: dict[str, float] = {}
    for language, value in ranked:
        found[language] = found.get(language, 0.0) + math.exp(value - largest)
    total = sum(found.values())
    return {language: weight / total for language, weight in found.items()}


@lru_cache
def is_known(served: str) -> bool:
    """Returns True if the identifier knows a language."""
    return any(is_same_language(served, found) for found in _identifier().nb_classes)


@lru_cache(maxsize=4096)
def is_same_language(served: str, found: str) -> bool:
    """Returns True if `found`, a code from the identifier, means the served language, in any script or region."""
    return base_of(served) == base_of(found) or distance(found, served) is not None


def text_of_html(html: str) -> str:
    """Returns the text of HTML without the elements in `INVISIBLE`, for language identification."""
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(html.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:  # raised for an empty document
        return ""
    if root is None:
        return ""
    etree.strip_elements(root, *INVISIBLE, with_tail=False)
    return " ".join(root.itertext())


@lru_cache
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE)
