"""Splits English text into words as the Penn Treebank does, with NLTK's copy of the treebank's own script.

What that script leaves out is done here: typographic quotes and dashes, single quotes that open, signs within words
(`AT&T`, `US$`), and `U.S.` at the end. Slashes stay as they are, without a backslash.
"""

import re
from collections.abc import Callable
from functools import cache

_TYPOGRAPHY = {"“": " `` ", "\u2018": " ` ", "\u2019": "'", "…": "...", "—": " -- ", "―": " -- "}
_NOT_OPENING = r"(?!(?:tis|twas|em|cause|n|til|d|s|ll|re|ve|m|t)\b)"  # 'Tis, 'em, 's: an apostrophe, not a quote
_REPLACED = (
    (re.compile(r"\s*(?:”|''(?!\S))"), "''"),  # the script takes '' after a space for an opening quote
    (re.compile(r"(?<!\S)''(?=\S)"), " `` "),
    (re.compile("(?<!`)`(?!`)"), " ` "),
    (re.compile(r"(?<=\d)\u2013(?=\d)"), "-"),
    (re.compile("\u2013"), " -- "),
    (re.compile(rf"(?<![^\s(\[{{\"])'{_NOT_OPENING}(?=[^\W\d_])", re.IGNORECASE), " ` "),
)
# A sign that the script would set apart is replaced by a character that no text has, a Unicode noncharacter.
_WITHIN_WORDS = (
    (re.compile(r"(?<=\w)&(?=\w)"), "\ufdd0"),
    (re.compile(r"(?<=\w)@(?=\w)"), "\ufdd1"),
    (re.compile(r"(?<=\w):(?=//)"), "\ufdd2"),
    (re.compile(r"%(?=-\w)"), "\ufdd3"),
    (re.compile(r"\b([A-Z]{1,2})\$"), "\\1\ufdd4 "),
)
_SIGNS = str.maketrans({"\ufdd0": "&", "\ufdd1": "@", "\ufdd2": ":", "\ufdd3": "%", "\ufdd4": "$"})
_CLOSING = {"''", "'", "-RRB-", "-RSB-", "-RCB-"}


def ptb_words(text: str) -> list[str]:
    """Splits a sentence into words by the conventions of the Penn Treebank.

    `They can't (yet) say "no".` becomes `They ca n't -LRB- yet -RRB- say `` no '' .`. Only the period at the end is set
    apart, so text of several sentences must be split into sentences first. An abbreviation at the end loses its period,
    `Acme Inc .`, but `U.S. .` has two, as in the treebank.
    """
    for sign, replacement in _TYPOGRAPHY.items():
        text = text.replace(sign, replacement)
    for pattern, replacement in (*_REPLACED, *_WITHIN_WORDS):
        text = pattern.sub(replacement, text)
    return _with_periods_of_us([word.translate(_SIGNS) for word in _script()(text)])


@cache
def _script() -> Callable[[str], list[str]]:
    from nltk.tokenize.treebank import TreebankWordTokenizer  # late, because NLTK takes a second to load

    tokenizer = TreebankWordTokenizer()
    return lambda text: tokenizer.tokenize(text, convert_parentheses=True)


def _with_periods_of_us(words: list[str]) -> list[str]:
    """Returns the words with `U.S. .` for `U.S .` at the end."""
    end = len(words)
    while end and words[end - 1] in _CLOSING:
        end -= 1
    if words[max(end - 2, 0) : end] == ["U.S", "."]:
        words[end - 2] += "."
    return words
