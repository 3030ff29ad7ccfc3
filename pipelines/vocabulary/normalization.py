"""Unicode normalisations as SentencePiece rules, which are stored in the SentencePiece model.

The default, `nfc`, composes letters with their combining marks and removes control characters, soft hyphens and byte
order marks. It keeps characters that some scripts need: joiners (Persian, Indic scripts), zero-width spaces (Lao,
Khmer), direction marks, full-width punctuation, presentation forms.
"""

import struct
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import permutations
from typing import Any

from sentencepiece.sentencepiece_model_pb2 import ModelProto

DEFAULT = "nfc"
NORMALIZATIONS = (DEFAULT, "identity", "nfkc", "nmt_nfkc")
INVISIBLE = str.maketrans("", "", "\u00ad\ufeff")  # soft hyphen and byte order mark, for `str.translate`

# Rules that match nothing: the size of a Darts double array, its root, 255 empty units, and no replacements. Without
# rules SentencePiece does the same, but prints a line whenever the model is loaded.
NO_RULES = struct.pack("<II", 1024, 1 << 10) + bytes(1020) + b"\0"

Rules = dict[str, str]

_WORD_START = "\u2581"  # the character that SentencePiece uses for a space
_WIDE_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_LAST_COMPOSED = 0x1FFFF  # beyond it there are only compatibility ideographs
_HANGUL = range(0xAC00, 0xD7A4)
_HANGUL_FINALS = 28  # the possible endings of a syllable: 27 final consonants, or no final consonant


@contextmanager
def trainer_options(normalization: str) -> Iterator[dict[str, Any]]:
    """Yields the options of the SentencePiece trainer for one of `NORMALIZATIONS`."""
    if normalization != DEFAULT:
        yield {"normalization_rule_name": normalization}
        return
    with tempfile.NamedTemporaryFile("w", prefix="nmt-nfc-", suffix=".tsv", encoding="ascii") as file:
        file.writelines(f"{_hexadecimal(a)}\t{_hexadecimal(b)}\n" for a, b in sorted(nfc_rules().items()))
        file.flush()
        yield {"normalization_rule_tsv": file.name}


def with_normalization_name(model_proto: bytes, normalization: str) -> bytes:
    """Returns a trained model that stores the name of its normalisation instead of the path of the rules file."""
    model = ModelProto.FromString(model_proto)
    model.normalizer_spec.name = normalization
    model.normalizer_spec.ClearField("normalization_rule_tsv")
    model.normalizer_spec.precompiled_charsmap = model.normalizer_spec.precompiled_charsmap or NO_RULES
    serialized: bytes = model.SerializeToString(deterministic=True)
    return serialized


@cache
def nfc_rules() -> Rules:
    """Returns the replacements of `nfc`. SentencePiece reads text from left to right, and replaces the longest match.

    A sequence that NFC composes is replaced by the composed character. Single characters are kept, even if NFC would
    replace them (U+212B, compatibility ideographs, U+09DF), since some texts need them. Each space of any width and
    each line end becomes a plain space. Control characters, soft hyphens and byte order marks are removed.
    """
    spaces = dict.fromkeys((*"\t\n\v\f\r\x85\u2028\u2029", *_WIDE_SPACES, _WORD_START), " ")
    controls = (chr(i) for i in range(1, 0xA0) if unicodedata.category(chr(i)) == "Cc")
    noise = {character: "" for character in (*controls, *map(chr, INVISIBLE)) if character not in spaces}
    return {sequence: composed for composed in _composed() for sequence in _spellings(composed)} | spaces | noise


def _composed() -> Iterator[str]:
    """Yields each character that NFC composes from several characters."""
    yield from map(chr, _HANGUL)
    for character in map(chr, range(_LAST_COMPOSED + 1)):
        parts = unicodedata.decomposition(character)
        if parts and not parts.startswith("<") and unicodedata.normalize("NFC", character) == character:
            yield character


def _spellings(composed: str) -> set[str]:
    """Returns the sequences that are canonically equivalent to a character.

    For \u1ec7, they are e^., e.^, \u00ea. and \u1eb9^, where ^ and . stand for the combining marks.
    """
    if ord(composed) in _HANGUL:
        return _jamo(composed)
    base, *marks = list(unicodedata.normalize("NFD", composed))
    found = set()
    for order in permutations(marks):
        text = "".join((base, *order))
        if unicodedata.normalize("NFC", text) != composed:
            continue
        for length in range(1, len(text)):
            beginning = unicodedata.normalize("NFC", text[:length])
            if len(beginning) == 1:
                found.add(beginning + text[length:])
    return found


def _jamo(syllable: str) -> set[str]:
    """Returns the spellings of a Hangul syllable.

    One spelling is the sequence of the syllable's letters. If the syllable ends in a consonant, another spelling is the
    syllable without this consonant, followed by the consonant.
    """
    letters = unicodedata.normalize("NFD", syllable)
    final = (ord(syllable) - _HANGUL.start) % _HANGUL_FINALS
    return {letters, chr(ord(syllable) - final) + letters[-1]} if final else {letters}


def _hexadecimal(text: str) -> str:
    return " ".join(f"{ord(character):X}" for character in text)
