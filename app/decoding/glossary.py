"""Finds the terms of a glossary in texts, in a TensorFlow graph, and reads glossary files."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import regex
import tensorflow as tf

from keras_nmt.app.decoding.search.constrained_search import Phrases
from keras_nmt.app.decoding.text.leading_tags import TagTables, without_tags
from keras_nmt.app.decoding.text.texts import Pieces
from keras_nmt.app.errors import UserError
from keras_nmt.app.runtime.text_files import read_lines
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import PAD

Glossary = tuple[tuple[str, str], ...]  # pairs of a source term and its translation

# `_IN_WORD` matches combining marks, digits, and letters of scripts that put spaces between words.
_UNSPACED = "\\p{Han}\\p{Hiragana}\\p{Katakana}\\p{Thai}\\p{Lao}\\p{Khmer}\\p{Myanmar}\\p{Tibetan}"
_IN_WORD = f"(?:[^\\P{{L}}{_UNSPACED}]|[\\p{{M}}\\p{{N}}])"
_MARK = "\x01"  # occurs in no text, since the tokeniser removes it


class TermPhrases(NamedTuple):
    """The target terms that the translations of M pieces must contain.

    Each piece has P terms. P differs between pieces and is at least 1, since the last term of each piece is empty.
    """

    tokens: tf.RaggedTensor  # int32 [M, (P), (L)]
    is_open: tf.RaggedTensor  # bool [M, (P)], True if the last word of the term could continue after it

    def of(self, numbers: tf.Tensor) -> Phrases:
        """Returns the terms of the B pieces with the indices `numbers`, in the form that `constrained_search` takes."""
        tokens = tf.gather(self.tokens, numbers).to_tensor(PAD)  # [M, (P), (L)] -> [B, P, L]
        tokens = tf.pad(tokens, [[0, 0], [0, 0], [0, 1]], constant_values=PAD)
        return Phrases(tokens, tf.gather(self.is_open, numbers).to_tensor(False))


def read_glossary(path: Path) -> Glossary:
    """Reads a TSV file of source terms and target terms. Skips empty lines and lines that begin with #.

    Raises:
        UserError: The file cannot be read, a line does not have two fields, or there is no term.
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
        raise UserError(f"{path} contains no term; write a line SOURCE TERM, a tab and TARGET TERM for each")
    return tuple(terms)


def term_phrases(
    vocabulary: AnyVocabulary, tags: TagTables, pieces: Pieces, source_terms: tf.Tensor, target_terms: tf.Tensor
) -> TermPhrases:
    """Returns the tokenised target terms that the translation of each piece must contain.

    If `terms_in` finds the g-th source term in a piece, the result for the piece includes the g-th target term. The
    last term of every piece is empty.

    Args:
        vocabulary: The vocabulary of the model.
        tags: The tags of the vocabulary.
        pieces: The pieces of the texts.
        source_terms: string [G].
        target_terms: string [G], the translations of the source terms.
    """
    sources = without_tags(pieces.tokens, tags).to_tensor(PAD)
    matched = terms_in(vocabulary.decode(sources), source_terms)  # [M, G]
    target_terms = tf.concat([target_terms, [""]], axis=0)  # every piece gets the empty term, so that P is at least 1
    phrases = vocabulary.encode_target(target_terms).with_row_splits_dtype(tf.int64)
    numbers = tf.ragged.boolean_mask(tf.broadcast_to(tf.range(tf.size(source_terms)), tf.shape(matched)), matched)
    empty = tf.fill([tf.size(pieces.owner), 1], tf.size(source_terms))
    terms = tf.concat([numbers, empty], axis=1)
    return TermPhrases(tf.gather(phrases, terms), tf.gather(word_may_continue(target_terms), terms))


def terms_in(texts: tf.Tensor, terms: tf.Tensor) -> tf.Tensor:
    """Returns True for each term that a text contains as whole words: bool [N, G].

    A term without capital letters also matches text with capital letters. A term with capital letters matches only text
    with the same capital letters. Longer terms are matched before shorter terms. Among terms of the same length, terms
    with capital letters are matched first. Text that has matched one term cannot match another term.

    Args:
        texts: string [N].
        terms: string [G].
    """
    any_case = tf.strings.lower(terms, encoding="utf-8") == terms
    order = 2 * tf.strings.length(terms, "UTF8_CHAR") - tf.cast(any_case, tf.int32)
    longest_first = tf.argsort(order, direction="DESCENDING", stable=True)
    matches = tf.TensorArray(tf.bool, size=tf.size(terms), element_shape=[None])

    def find(i: tf.Tensor, left: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        term = terms[longest_first[i]]
        # RE2 takes an escaped ASCII punctuation mark literally; other characters have no special meaning.
        literal = tf.strings.regex_replace(term, "[[:punct:]]", r"\\\0")
        case = tf.where(any_case[longest_first[i]], "(?i)", "")
        pattern = tf.strings.join([case, r"(^|[^\pL\pN\pM])", literal, r"($|[^\pL\pN\pM])"])
        without = tf.strings.regex_replace(left, pattern, rf"\1{_MARK}\2")
        return i + 1, without, found.write(i, without != left)

    _, _, matches = tf.while_loop(
        lambda i, *_: i < tf.size(terms),
        find,
        (tf.constant(0), texts, matches),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None]), None),
    )
    by_length = tf.reshape(matches.stack(), [tf.size(terms), tf.size(texts)])
    return tf.transpose(tf.gather(by_length, tf.argsort(longest_first)))


def word_continuations(pieces: Sequence[str]) -> np.ndarray:
    """Returns True for pieces of a vocabulary that continue a word, byte pieces included: bool [V]."""
    return np.array([bool(regex.match(f"{_IN_WORD}|<0x[0-9A-F]{{2}}>$", piece)) for piece in pieces], bool)


def word_may_continue(terms: tf.Tensor) -> tf.Tensor:
    """Returns True for terms (string [G]) whose last word could have more letters after the term: bool [G].

    The result is False for a term that ends in punctuation, such as "C++", or in a script that has no spaces between
    words, such as Chinese.
    """
    return tf.strings.regex_full_match(terms, f"(?s:.*){_IN_WORD}")
