"""Language codes: BCP 47 (`pt-BR`, `zh-Hans`) in any spelling (`pt_br`, `zho`, `deu_Latn`, `iw`).

A code that a user types is converted to its standard form. Then `match` finds files, fields and columns whose names
have this code in any spelling.
"""

import re
from collections.abc import Collection, Iterator
from functools import cache

from langcodes import Language, standardize_tag, tag_is_valid
from langcodes.tag_parser import LanguageTagError

from keras_nmt.pipelines.errors import DataError

_CODE = re.compile(r"[A-Za-z]{2,}([_-][A-Za-z0-9]+)*")
_USUAL = re.compile(r"[a-z]{2,3}([_-][A-Z][a-z]{3})?([_-]([A-Z]{2}|\d{3}))?")  # language, Script, REGION


@cache
def standard(code: str) -> str:
    """Returns the standard form of a code; a text that is not a BCP 47 code is returned unchanged.

    `zh_CN` becomes zh-CN, `deu` and `deu_Latn` become de, `iw` becomes he, and `src` is unchanged.
    """
    try:
        return standardize_tag(code)
    except LanguageTagError:
        return code


@cache
def base_of(code: str) -> str:
    """Returns only the language of a code: `zh` for `zh_CN` and `cmn`. Returns a text that is no code unchanged."""
    try:
        return Language.get(code).prefer_macrolanguage().language or code
    except LanguageTagError:
        return code


def match(wanted: str, names: Collection[str]) -> str | None:
    """Returns the name in `names` that means the language `wanted`, or None if there is no such name.

    The first choice is a name with the same spelling, the second choice a name with the same standard form, and the
    third choice the first name that only adds or omits a script or region: en matches en-US, and pt-BR matches pt.
    """
    if wanted in names:
        return wanted
    code = standard(wanted)
    codes = {name: standard(name) for name in names}
    same = (name for name in names if codes[name].lower() == code.lower())
    return next(same, None) or next((name for name in names if _is_vaguer(code, codes[name])), None)


def spellings(code: str) -> list[str]:
    """Returns possible spellings of a language in file names: `pt-BR`, `pt_BR`, `pt-br`, `pt_br`, `por`, `pt`."""
    language = Language.get(standard(code)) if _is_known(code) else None
    short = [language.to_alpha3(), language.language or code] if language else []
    hyphens = (code, code.lower())
    return list(dict.fromkeys([*hyphens, *(name.replace("-", "_") for name in hyphens), *short]))


def split_pair(text: str) -> tuple[str, str]:
    """Splits a pair such as `en-de`, `en-pt-BR` or `zh_Hans-en`, and returns the codes in standard form.

    Raises:
        DataError: The text is not two codes joined by a hyphen, or is ambiguous.
    """
    found = list(_halves(text.strip()))
    if len(found) > 1:
        found = [pair for pair in found if all(_USUAL.fullmatch(code) for code in pair)] or found
    if not found:
        raise DataError(f"expected a language pair such as en-de, got {text!r}")
    if len(found) > 1:
        readings = " or ".join(f"{a} and {b}" for a, b in found)
        raise DataError(
            f"expected a language pair such as en-de, got {text!r}, which may be {readings}; write regions "
            "with _, as in en-pt_BR"
        )
    source, target = found[0]
    return standard(source), standard(target)


def _halves(text: str) -> Iterator[tuple[str, str]]:
    """Yields every split of a language pair such as `en-de` at a hyphen. A code itself may contain hyphens."""
    parts = text.split("-")
    for i in range(1, len(parts)):
        pair = "-".join(parts[:i]), "-".join(parts[i:])
        if all(_CODE.fullmatch(code) for code in pair) and (len(parts) == 2 or all(map(tag_is_valid, pair))):
            yield pair


def _is_vaguer(one: str, other: str) -> bool:
    """Returns True if two codes mean the same language and at least one of them has neither script nor region."""
    if not (_is_known(one) and _is_known(other)):
        return False
    first, second = Language.get(one), Language.get(other)
    return first.language == second.language and str(first.language) in (one, other)


def _is_known(code: str) -> bool:
    try:
        return tag_is_valid(code)
    except LanguageTagError:
        return False
