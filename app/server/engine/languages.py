"""Languages by their codes, however these are written, and which language a text is in."""

import math
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from babel import Locale, UnknownLocaleError
from langcodes import Language, tag_distance
from langcodes.tag_parser import LanguageTagError
from lxml import etree
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from pipelines.language_codes import base_of, standard

REGIONS_APART = 5  # CLDR's distance of pt-BR and pt-PT
MOST_READ = 4_000  # characters, from which a language is found out
LEAST_TOLD = 1.0  # percent, of a language that is not asked for
UNLIKELY = 0.0001  # percent; below it are 2 of 6,000 frequent English words alone, and none of 4,000 sentences
NO_LANGUAGE = "zxx"  # as the identifier calls program code
# fmt: off
NOT_READ = frozenset(("script", "style", "template", "noscript", "svg", "math", "code", "pre", "kbd", "samp", "var"))
# fmt: on


class Detected(NamedTuple):
    """A language, and how sure it is, in percent of all languages that the identifier knows."""

    language: str
    confidence: float


@lru_cache(maxsize=4096)
def distance(asked: str, served: str) -> int | None:
    """How far a language is from one that is asked for: 0 for the same, more for another region; None if it is another.

    One that is written in another script is another.
    """
    if asked == served or standard(asked) == standard(served):
        return 0
    try:
        if Language.get(asked).maximize().script != Language.get(served).maximize().script:
            return None
        apart = 1 + int(tag_distance(asked, served))
    except LanguageTagError:
        return None
    return apart if apart <= 1 + REGIONS_APART else None


def pairs_apart(asked: tuple[str, str], served: tuple[str, str]) -> int | None:
    """The distances of both languages of a pair together; None if one is another language."""
    apart = [distance(one, other) for one, other in zip(asked, served, strict=True)]
    return None if None in apart else sum(filter(None, apart))


@lru_cache
def name_of(code: str) -> str:
    """The English name of a language's code; the code itself where there is none."""
    try:
        return Locale.parse(standard(code), sep="-").english_name or code
    except (UnknownLocaleError, ValueError):
        return code


def detect(text: str, languages: Collection[str]) -> list[Detected]:
    """How sure each of the languages is, and every other that a text may be in, the likeliest first.

    Of a text without a letter nothing can be said: the first of the languages, with no confidence.
    """
    told = [one for one in _ranked(text, languages) if one.language in languages or one.confidence >= LEAST_TOLD]
    return [Detected(language, round(confidence, 1)) for language, confidence in told]


def source_of(text: str, languages: Collection[str]) -> Detected:
    """The likeliest of the languages; if it can be none of these, the likeliest of all.

    Where the identifier does not know one of them, it cannot tell that a text is not in that one.
    """
    ranked = _ranked(text, languages)
    likeliest = next(one for one in ranked if one.language in languages)
    if likeliest.confidence < UNLIKELY and all(map(is_known, languages)):
        likeliest = ranked[0]
    return Detected(likeliest.language, round(likeliest.confidence, 1))


def _ranked(text: str, languages: Collection[str]) -> list[Detected]:
    """The languages, by the codes that they have here, and all others, the likeliest first."""
    text = text[:MOST_READ]
    if not any(map(str.isalpha, text)):
        return [Detected(language, 0.0) for language in sorted(languages)][:1]
    percent: dict[str, float] = dict.fromkeys(sorted(languages), 0.0)
    for found, share in shares(text).items():
        code = next((language for language in sorted(languages) if is_of(language, found)), found)
        percent[code] = percent.get(code, 0.0) + 100 * share
    return sorted((Detected(*one) for one in percent.items()), key=lambda one: -one.confidence)


def shares(text: str) -> dict[str, float]:
    """The probability of each language that the identifier knows."""
    ranked = [(language, value) for language, value in _identifier().rank(text) if language != NO_LANGUAGE]
    most = max(value for _, value in ranked)
    found: dict[str, float] = {}
    for language, value in ranked:
        found[language] = found.get(language, 0.0) + math.exp(value - most)
    total = sum(found.values())
    return {language: weight / total for language, weight in found.items()}


@lru_cache
def is_known(served: str) -> bool:
    """Whether the identifier knows a language."""
    return any(is_of(served, found) for found in _identifier().nb_classes)


@lru_cache(maxsize=4096)
def is_of(served: str, found: str) -> bool:
    """Whether a served language is what the identifier calls so; it knows no scripts or regions."""
    return base_of(served) == base_of(found) or distance(found, served) is not None


def text_of_html(html: str) -> str:
    """What a reader of HTML sees, from which its language can be found out."""
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(html.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:  # as of nothing
        return ""
    if root is None:
        return ""
    etree.strip_elements(root, *NOT_READ, with_tail=False)
    return " ".join(root.itertext())


@lru_cache
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE)
