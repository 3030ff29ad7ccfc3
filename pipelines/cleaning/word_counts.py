"""Counts words in any script, including scripts without spaces between words.

The characters of such scripts are found by Unicode's line-breaking classes (UAX #14), not by a list of languages.
According to these classes, a line may break without a space between ideographs and kana (classes ID, CJ, NS), within
text whose words only a dictionary can find (SA: Thai, Lao, Khmer, Burmese ...), and between aksaras (AK, AP, AS:
Javanese, Balinese ...). The mean number of characters per word was measured on translations of the same English text.
"""

import re
import string
from functools import lru_cache

import regex

_IDEOGRAPHS_PER_WORD = 2  # measured per English word: 1.4 to 1.6 in Chinese, 2.2 to 2.5 in Japanese
_LETTERS_PER_WORD = 4  # measured, without combining marks: 3.2 (Burmese) to 4.1 (Thai); Tibetan 2.9 to 3.7

# Fast check: text without any of these characters contains neither letters of such scripts nor invisible characters.
_SPECIAL = re.compile(
    "[\xad\u061c\u0e00-\u1cff\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2e80-\uabff\uf900-\ufaff\ufeff\uff66-\uff9f\U00010000-\U0010ffff]"
)
_BESIDE_EAST_ASIA = re.compile("[\u0e00-\u1cff\ua800-\uabff\U00010000-\U00016fff]")
_IDEOGRAPHIC = r"[[\p{lb=ID}\p{lb=CJ}\p{lb=NS}]--\p{Script=Latin}]"  # full-width Latin has class ID
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
    """Returns the number of words of a text whose only whitespace is single spaces.

    The number is the larger of two counts. For the first count, words are separated by spaces, including zero-width
    spaces. For the second count, in scripts without spaces, two ideographs or kana are one word, and four other letters
    are one word. So a text in such a script has about the same number of words with and without spaces between its
    words.
    """
    if text.isascii() or not _SPECIAL.search(text):
        return text.count(" ") + 1
    return _count_special(text)


def share_of_letters(text: str) -> float:
    """Returns the share of letters and combining marks among the visible characters; 0 if there are no letters.

    An ideograph counts as two letters, because `2018年10月7日` means the same as `7 October 2018`.
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


@lru_cache(maxsize=4)  # several filters count the words of the same two sides
def _count_special(text: str) -> int:
    words = max(text.count(" ") + text.count("\u200b"), text.count("\u1361")) + 1  # Ethiopic has a word separator
    unspaced = _count_ideographs(text) / _IDEOGRAPHS_PER_WORD
    if _BESIDE_EAST_ASIA.search(text):
        unspaced += sum(map(len, _UNSPACED_LETTERS.findall(text))) / _LETTERS_PER_WORD
    return max(words, int(unspaced + 0.5) + len(_OTHER_WORD.findall(text))) if unspaced else words


@lru_cache(maxsize=4)
def _count_ideographs(text: str) -> int:
    return sum(map(len, _IDEOGRAPHS.findall(text)))
