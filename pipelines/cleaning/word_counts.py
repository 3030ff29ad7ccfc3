"""Counts words in any script, also in those that set no spaces between words.

Which characters belong to such scripts follows from Unicode's line-breaking classes (UAX #14), not from a list of
languages: a line may break inside a run of ideographs or kana (ID, CJ, NS), of a script that needs a dictionary (SA:
Thai, Lao, Khmer, Burmese ...), or of aksaras (AK, AP, AS: Javanese, Balinese ...). How many of them make a word was
measured on translations of the same English text.
"""

import re
import string
from functools import lru_cache

import regex

_IDEOGRAPHS_A_WORD = 2  # 1.4 to 1.6 Chinese and 2.2 to 2.5 Japanese ones for an English word
_LETTERS_A_WORD = 4  # marks not counted: 3.2 (Burmese) to 4.1 (Thai), and 2.9 to 3.7 of Tibetan

# Only text with one of these can have letters of such scripts, or invisible characters. The other checks are slower.
_SPECIAL = re.compile(
    "[\xad\u061c\u0e00-\u1cff\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2e80-\uabff\uf900-\ufaff\ufeff\uff66-\uff9f\U00010000-\U0010ffff]"
)
_BESIDE_EAST_ASIA = re.compile("[\u0e00-\u1cff\ua800-\uabff\U00010000-\U00016fff]")
_IDEOGRAPHIC = r"[[\p{lb=ID}\p{lb=CJ}\p{lb=NS}]--\p{Script=Latin}]"  # full-width Latin is ID
_UNSPACED = r"[\p{lb=SA}\p{lb=AK}\p{lb=AP}\p{lb=AS}\p{Script=Tibetan}]"
_IDEOGRAPHS = regex.compile(rf"[{_IDEOGRAPHIC}&&\p{{L}}]+", regex.V1)
_UNSPACED_LETTERS = regex.compile(rf"[{_UNSPACED}&&\p{{L}}]+", regex.V1)
_OTHER_WORD = regex.compile(
    rf"[[\p{{L}}\p{{N}}]--{_IDEOGRAPHIC}--{_UNSPACED}][\w--{_IDEOGRAPHIC}--{_UNSPACED}]*", regex.V1
)
_NO_LETTER = regex.compile(r"[^\w\p{M} ]|[\d_]")
_LETTER = regex.compile(r"\p{L}")
_WITHOUT_LETTERS = str.maketrans("", "", string.ascii_letters + " ")
_INVISIBLE = re.compile(  # format characters, and the tsheg between Tibetan syllables
    "[\xad\u061c\u0f0b\u0f0c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0001-\U000e007f]"
)


def count_words(text: str) -> int:
    """Returns the number of words.

    They are what stands between spaces (zero-width ones too). Where letters of scripts without spaces make more words
    than that, about two ideographs or kana, or four other letters, are a word; so text whose words somebody has set
    apart by spaces does not count twice.
    """
    if text.isascii() or not _SPECIAL.search(text):
        return text.count(" ") + 1
    return _count_special(text)


def share_of_letters(text: str) -> float:
    """Returns the share of the visible characters that are letters, or marks of letters; 0 if there are marks alone.

    An ideograph counts as two letters: `2018年10月7日` says as much as `7 October 2018`.
    """
    visible = len(text) - text.count(" ")
    if text.isascii():
        return 1 - len(text.translate(_WITHOUT_LETTERS)) / visible if visible else 0.0
    others = len(_NO_LETTER.findall(text))
    if _SPECIAL.search(text):
        invisible = _INVISIBLE.findall(text)
        visible += _count_ideographs(text) - len(invisible)
        others -= sum(1 for character in invisible if _NO_LETTER.match(character))
    return 1 - others / visible if visible and _LETTER.search(text) else 0.0


@lru_cache(maxsize=4)  # several filters ask of both sides
def _count_special(text: str) -> int:
    words = max(text.count(" ") + text.count("\u200b"), text.count("\u1361")) + 1  # Ethiopic has a mark between words
    unspaced = _count_ideographs(text) / _IDEOGRAPHS_A_WORD
    if _BESIDE_EAST_ASIA.search(text):
        unspaced += sum(map(len, _UNSPACED_LETTERS.findall(text))) / _LETTERS_A_WORD
    return max(words, int(unspaced + 0.5) + len(_OTHER_WORD.findall(text))) if unspaced else words


@lru_cache(maxsize=4)
def _count_ideographs(text: str) -> int:
    return sum(map(len, _IDEOGRAPHS.findall(text)))
