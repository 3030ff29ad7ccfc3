"""Which terms of a glossary stand in a text, in the graph; and the file that it is read from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import regex
import tensorflow as tf

from app.errors import UserError
from app.runtime.text_files import read_lines

Glossary = tuple[tuple[str, str], ...]  # a term of the source, and what it must be in the translation

# Letters of scripts that put spaces between words, marks and digits.
_UNSPACED = "\\p{Han}\\p{Hiragana}\\p{Katakana}\\p{Thai}\\p{Lao}\\p{Khmer}\\p{Myanmar}\\p{Tibetan}"
_IN_WORD = f"(?:[^\\P{{L}}{_UNSPACED}]|[\\p{{M}}\\p{{N}}])"
_MARK = "\x01"  # in no text: the tokeniser takes it out


def read_glossary(path: Path) -> Glossary:
    """A TSV file of source term and target term; empty lines and lines that begin with # are passed over.

    Raises:
        UserError: The file cannot be read, a line has not two fields, or no term is in it.
    """
    terms = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 2 or not all(fields):
            raise UserError(f"{path}, line {number}: expected SOURCE TERM, a tab and TARGET TERM, got {line[:60]!r}")
        terms.append((fields[0], fields[1]))
    if not terms:
        raise UserError(f"{path} holds no term; write a line SOURCE TERM, a tab and TARGET TERM for each")
    return tuple(terms)


def terms_in(texts: tf.Tensor, terms: tf.Tensor) -> tf.Tensor:
    """Which terms stand in each text as whole words: bool [N, G].

    A term without capitals is found in any case, others only as they are, and before it. Where terms overlap the
    longer one counts.

    Args:
        texts: string [N].
        terms: string [G].
    """
    any_case = tf.strings.lower(terms, encoding="utf-8") == terms
    order = 2 * tf.strings.length(terms, "UTF8_CHAR") - tf.cast(any_case, tf.int32)
    longest_first = tf.argsort(order, direction="DESCENDING", stable=True)
    wanted = tf.TensorArray(tf.bool, size=tf.size(terms), element_shape=[None])

    def look_for(i: tf.Tensor, left: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        term = terms[longest_first[i]]
        literal = tf.strings.regex_replace(term, "[[:punct:]]", r"\\\0")  # of ASCII: no other has a meaning or may have
        case = tf.where(any_case[longest_first[i]], "(?i)", "")
        pattern = tf.strings.join([case, r"(^|[^\pL\pN\pM])", literal, r"($|[^\pL\pN\pM])"])
        without = tf.strings.regex_replace(left, pattern, rf"\1{_MARK}\2")
        return i + 1, without, found.write(i, without != left)

    _, _, wanted = tf.while_loop(
        lambda i, *_: i < tf.size(terms),
        look_for,
        (tf.constant(0), texts, wanted),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None]), None),
    )
    by_length = tf.reshape(wanted.stack(), [tf.size(terms), tf.size(texts)])
    return tf.transpose(tf.gather(by_length, tf.argsort(longest_first)))


def word_goes_on(pieces: Sequence[str]) -> np.ndarray:
    """The pieces of a vocabulary with which a word goes on behind a term, bool [V]; bytes of a letter count too."""
    return np.array([bool(regex.match(f"{_IN_WORD}|<0x[0-9A-F]{{2}}>$", piece)) for piece in pieces], bool)


def may_go_on(terms: tf.Tensor) -> tf.Tensor:
    """Whether a word could go on behind each term (string [G]): bool [G]. Not behind "C++", nor behind Chinese."""
    return tf.strings.regex_full_match(terms, f"(?s:.*){_IN_WORD}")
