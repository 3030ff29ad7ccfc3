"""Text processing of a parser, in a TensorFlow graph: words to tokens, and actions to bracketed trees.

The words of a text are the strings between its spaces. The token `<XX>` stands before the pieces of each word. The
decoder emits `<XX>` or a tag such as `<XX:NN>` to read the word; see `pipelines.trees.linearization` for the actions.
"""

import tensorflow as tf

from keras_nmt.app.decoding.forced.given_pieces import GivenPieces
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.parsing.rests import rests_in, with_rests
from keras_nmt.app.decoding.text.cutting import Cutter, at_least_one
from keras_nmt.app.decoding.text.output_checks import WARNINGS
from keras_nmt.app.decoding.text.texts import TranslatedTexts
from keras_nmt.app.decoding.text_pipeline import TextPipeline
from keras_nmt.app.decoding.whole_texts import WholeTextCutter, whole_pairs
from keras_nmt.pipelines.trees.pieces import WORD_PIECE, rest_labels
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import UNK

_BRACKETS = (("(", "-LRB-"), (")", "-RRB-"))  # a bracket in a tree is structure, so a bracket as a word is escaped


class WordCutter(WholeTextCutter):
    """A `Cutter` that makes one piece of each text: for each word, the token `<XX>` and the tokens of the word."""

    def tokens(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Encodes the words of `texts`, string [N]: int32 [N, (L)]. Keeps every word, also beyond `limit` tokens."""
        words = words_of(texts)
        of_words = self.vocabulary.encode(words.values)
        marker = tf.fill([of_words.nrows(), 1], self.word)
        of_words = tf.concat([marker, of_words], axis=1)
        by_text = of_words.with_row_splits_dtype(words.row_splits.dtype)
        tokens = tf.RaggedTensor.from_row_splits(by_text, words.row_splits).merge_dims(1, 2)
        return tokens.with_row_splits_dtype(tf.int64)

    @property
    def word(self) -> int:
        """The id of the token `<XX>`."""
        return self.vocabulary.pieces().index(WORD_PIECE)


class TreePipeline(TextPipeline):
    """The `TextPipeline` of a parser. Its input are words separated by spaces, and its output are trees in one line."""

    def __init__(self, vocabulary: AnyVocabulary, options: DecodingOptions) -> None:
        cutter = WordCutter(vocabulary, options.max_source_tokens)
        super().__init__(vocabulary, options, cutter=cutter, pairing=tree_pairs, checks=no_warnings)

    def written(self, texts: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
        """Returns the trees with actions, int32 [N, T], over the words of `texts`, string [N]."""
        return bracketed(texts, self.vocabulary.spell(tokens)[:, tf.newaxis])[:, 0]

    def finished(self, found: TranslatedTexts, texts: tf.Tensor) -> TranslatedTexts:
        """Replaces the outputs by the trees over the words of `texts`, string [N]."""
        return found._replace(translations=bracketed(texts, found.pieces))


def words_of(texts: tf.Tensor) -> tf.RaggedTensor:
    """Splits `texts`, string [N], at spaces: string [N, (W)]."""
    return tf.strings.split(texts)


def tree_pairs(cutter: Cutter, texts: tf.Tensor, targets: tf.Tensor) -> GivenPieces:
    """Returns one pair of pieces for each text and its tree; one empty pair if there are no texts.

    Args:
        cutter: The cutter of the parser.
        texts: string [N], the words of each text, separated by spaces.
        targets: string [N], the pieces of the actions of each tree, without rests, separated by spaces. A tag that the
            vocabulary does not have becomes `<XX>`, and another unknown piece UNK.
    """
    marks = [(number, piece) for number, piece in enumerate(cutter.vocabulary.pieces()) if piece[:1] == "<"]
    ids, known = tf.constant([number for number, _ in marks]), tf.constant([piece for _, piece in marks])
    pieces = tf.strings.split(at_least_one(targets))
    if rests := rest_labels(cutter.vocabulary.pieces()):
        pieces = tf.strings.split(with_rests(pieces.to_tensor(""), rests))
    matches = pieces.values[:, tf.newaxis] == known  # [pieces, marks]
    word = tf.gather(ids, tf.argmax(known == WORD_PIECE))
    others = tf.where(tf.strings.regex_full_match(pieces.values, "<XX:.*>"), word, UNK)
    best = tf.gather(ids, tf.argmax(tf.cast(matches, tf.int32), axis=1))
    found = tf.where(tf.reduce_any(matches, axis=1), best, others)
    return whole_pairs(cutter, texts, targets)._replace(labels=pieces.with_values(found))


def no_warnings(_sources: tf.Tensor, _source_tokens: tf.Tensor, outputs: tf.Tensor, _tokens: tf.Tensor) -> tf.Tensor:
    """Returns no warning for any output: bool [B, H, F], as `find_warnings`. A tree cannot be malformed."""
    return tf.fill([*tf.unstack(tf.shape(outputs)), len(WARNINGS)], False)


def bracketed(texts: tf.Tensor, pieces: tf.Tensor) -> tf.Tensor:
    """Writes actions as trees in one line.

    Rests (see `pipelines.trees.rests`) are written as the larger constituents that they stand for.

    Example: the words "It works" and the pieces `<(S>`, `<XX:PRP>`, `<XX>`, `<)S>`, `</s>` give
    `(TOP (S (PRP It) (XX works)))`.

    Args:
        texts: string [N], the words of each text, separated by spaces.
        pieces: string [N, H, T], the pieces of the actions of H trees of each text; after `</s>`, "".

    Returns:
        string [N, H]; "" for a tree without actions.
    """
    words = words_of(texts)
    for bracket, escaped in _BRACKETS:
        words = words.with_values(tf.strings.regex_replace(words.values, rf"\{bracket}", escaped))
    words = words.to_tensor("")  # [N, W]
    words = tf.pad(words, [[0, 0], [0, 1]], constant_values="")  # at least one column
    is_word = tf.strings.regex_full_match(pieces, "<XX(:.*)?>")
    number = tf.cumsum(tf.cast(is_word, tf.int32), axis=2) - 1
    number = tf.clip_by_value(number, 0, tf.shape(words)[1] - 1)
    tags = tf.strings.regex_replace(pieces, "^<(?:XX:)?(.*)>$", r"\1")
    leaves = tf.strings.join([" (", tags, " ", tf.gather(words, number, batch_dims=1), ")"])
    opens = tf.strings.regex_replace(pieces, r"^<\((.*)>$", r" (\1")
    is_close = tf.strings.regex_full_match(pieces, r"<\).*>")
    shape, length = tf.shape(pieces)[:2], tf.shape(pieces)[2]
    rows = tf.reduce_prod(shape)
    rests = rests_in(tf.reshape(pieces, [rows, length]))
    begins_rest, ends_rest = tf.reshape(rests.opens, tf.shape(pieces)), tf.reshape(rests.closes, tf.shape(pieces))
    parts = tf.where(is_word, leaves, tf.where(is_close | begins_rest, ")", opens))  # the smaller constituent ends
    parts = tf.where(ends_rest | (pieces == "</s>"), "", parts)
    counts = tf.reshape(rests.constituents, [-1])
    owners = tf.repeat(tf.repeat(tf.range(rows), length), counts)
    trees = tf.strings.unsorted_segment_join(tf.repeat(tf.reshape(parts, [-1]), counts), owners, rows)
    trees = tf.reshape(trees, shape)
    has_top = tf.strings.regex_full_match(trees, r" \(TOP .*")
    whole = tf.where(has_top, tf.strings.regex_replace(trees, "^ ", ""), tf.strings.join(["(TOP", trees, ")"]))
    return tf.where(trees == "", "", whole)
