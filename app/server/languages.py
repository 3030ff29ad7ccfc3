"""The names of languages, and which of some languages a text is in."""

import math
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from babel import Locale, UnknownLocaleError
from py3langid.langid import MODEL_FILE, LanguageIdentifier


class Detected(NamedTuple):
    """A language, and how sure it is, in percent."""

    language: str
    confidence: float


@lru_cache
def name_of(code: str) -> str:
    """The English name of a language's code; the code itself where there is none."""
    try:
        return Locale.parse(code, sep="-" if "-" in code else "_").english_name or code
    except (UnknownLocaleError, ValueError):
        return code


def detect(text: str, languages: Collection[str]) -> list[Detected]:
    """Which of the languages a text is in, the likeliest first; without those that the identifier does not know."""
    identifier = _identifier()
    ranked = [(language, value) for language, value in identifier.rank(text) if language in languages]
    if not ranked:
        return [Detected(language, 0.0) for language in sorted(languages)][:1]
    most = max(value for _, value in ranked)
    weights = [(language, math.exp(value - most)) for language, value in ranked]
    total = sum(weight for _, weight in weights)
    return [Detected(language, round(100 * weight / total, 1)) for language, weight in weights]


@lru_cache
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE)
