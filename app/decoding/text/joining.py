"""Joins the translations of pieces into translations of texts."""

from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.text.output_checks import spell_warnings
from keras_nmt.app.decoding.text.sentences import is_followed_by_space, joined
from keras_nmt.app.decoding.text.texts import FoundPieces, Pieces, TranslatedTexts
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import PAD


def join_pieces(texts: tf.Tensor, owner: tf.Tensor, rows: int | tf.Tensor) -> tf.Tensor:
    """Joins the pieces of each row with spaces. Skips empty pieces, and puts no space after Chinese or Japanese.

    Example: ["Ja.", "Nein.", "", "So"] with owner [0, 0, 1, 2] and rows 3 gives ["Ja. Nein.", "", "So"].

    Args:
        texts: string [M], the pieces.
        owner: int32 [M], the row of each piece, ascending.
        rows: N, the number of rows.

    Returns:
        string [N], the joined pieces of each row.
    """
    has_text = texts != ""
    texts, owner = texts[has_text], owner[has_text]
    is_inside = owner[1:] == owner[:-1]
    spaces = tf.where(is_inside & is_followed_by_space(texts[:-1]), " ", "")
    spaced = tf.strings.join([tf.concat([tf.fill(tf.shape(texts[:1]), ""), spaces], axis=0), texts])
    by_row = tf.RaggedTensor.from_value_rowids(spaced, owner, nrows=tf.cast(rows, owner.dtype))
    return tf.strings.reduce_join(by_row, axis=1)


class _Layout(NamedTuple):
    """States which hypotheses of M pieces form the H translations of each of N texts.

    The j-th translation of a text consists of the j-th hypothesis of each of its pieces. If a piece has fewer than j
    hypotheses, its last hypothesis is used.
    """

    rows: tf.Tensor  # int32 [], N
    number: tf.Tensor  # int32 [], M
    hypotheses: tf.Tensor  # int32 [], H
    exists: tf.Tensor  # bool [N, H], True at j if any piece of the text has a j-th hypothesis
    own: tf.Tensor  # int32 [M, H], the index of the piece's hypothesis in the j-th translation
    owner: tf.Tensor  # int32 [M], the index of the text of each piece
    owners: tf.Tensor  # int32 [H * M], j * N + text for the j-th hypothesis of each piece: its row in [H * N]

    @classmethod
    def of(cls, found: FoundPieces, pieces: Pieces, rows: tf.Tensor) -> "_Layout":
        number, hypotheses = tf.unstack(tf.shape(found.scores))
        exist = tf.maximum(1, tf.math.count_nonzero(found.scores > float("-inf"), axis=1, dtype=tf.int32))  # [M]
        owners = pieces.owner + rows * tf.range(hypotheses)[:, tf.newaxis]  # [H, M]: the j-th translations of all texts
        return cls(
            rows=rows,
            number=number,
            hypotheses=hypotheses,
            exists=tf.range(hypotheses) < tf.math.segment_max(exist, pieces.owner)[:, tf.newaxis],
            own=tf.minimum(tf.range(hypotheses), exist[:, tf.newaxis] - 1),
            owner=pieces.owner,
            owners=tf.reshape(owners, [-1]),
        )

    def select(self, values: tf.Tensor) -> tf.Tensor:
        """Replaces the values of missing hypotheses by the values of the piece's last hypothesis: [M, H, …]."""
        return tf.gather(values, self.own, batch_dims=1)

    def sum(self, values: tf.Tensor) -> tf.Tensor:
        """Sums the values of hypotheses over the pieces of each text: [M, H, …] -> [N, H, …]."""
        return tf.math.segment_sum(self.select(values), self.owner)

    def join_tokens(self, values: tf.Tensor, lengths: tf.Tensor, copied: tf.RaggedTensor) -> tf.RaggedTensor:
        """Concatenates the values of the tokens of each translation, such as their ids.

        Args:
            values: [sum of lengths], the values of the tokens of all hypotheses, piece by piece.
            lengths: int32 [M, H], the number of tokens of each hypothesis.
            copied: [M, (K)], the values of the copied tokens that precede the translation of each piece.

        Returns:
            [H * N, (T)]. Row j * N + n has the values of the j-th translation of text n.
        """
        of_each = tf.RaggedTensor.from_row_lengths(values, tf.reshape(lengths, [-1]))
        chosen = tf.transpose(self.hypotheses * tf.range(self.number)[:, tf.newaxis] + self.own)  # [H, M]
        of_each = tf.gather(of_each, tf.reshape(chosen, [-1]))
        copied = tf.gather(copied, tf.tile(tf.range(self.number), [self.hypotheses]))
        copied = copied.with_row_splits_dtype(of_each.row_splits.dtype)
        both = tf.concat([copied, of_each], axis=1)
        return tf.RaggedTensor.from_value_rowids(both, self.owners, self.rows * self.hypotheses).merge_dims(1, 2)

    def stack(self, values: tf.Tensor) -> tf.Tensor:
        """Reshapes and transposes values: [H * N, T] -> [N, H, T]."""
        return tf.transpose(tf.reshape(values, [self.hypotheses, self.rows, tf.shape(values)[1]]), [1, 0, 2])


def join_translations(
    vocabulary: AnyVocabulary, found: FoundPieces, pieces: Pieces, count: tf.Tensor
) -> TranslatedTexts:
    """Joins the translations of pieces into translations of `count` texts.

    The j-th translation of a text joins the j-th translation of each of its pieces. If a piece has fewer than j
    translations, its last translation is used. Copied text is the same in all translations. The score of a translation
    is the sum of the scores of its pieces.
    """
    rows = tf.maximum(count, 1)
    layout = _Layout.of(found, pieces, rows)
    texts = joined(pieces.copied[:, tf.newaxis], layout.select(found.translations))
    texts = join_pieces(tf.reshape(tf.transpose(texts), [-1]), layout.owners, rows * layout.hypotheses)
    has_tokens = (pieces.tokens.row_lengths() > 0)[:, tf.newaxis]
    lengths = tf.cast(tf.maximum(layout.sum(tf.where(has_tokens, found.lengths, 0)), 1), tf.float32)
    copied = vocabulary.encode_target(pieces.copied)
    tokens = layout.join_tokens(found.tokens, found.lengths, copied)
    by_token = layout.join_tokens(found.token_log_probabilities, found.lengths, tf.zeros_like(copied, tf.float32))
    every = TranslatedTexts(
        translations=tf.transpose(tf.reshape(texts, [layout.hypotheses, rows])),
        scores=layout.sum(found.scores),
        confidences=tf.exp(layout.sum(found.log_probabilities) / lengths),
        warnings=spell_warnings(layout.sum(tf.cast(found.warnings, tf.int32)) > 0),
        pieces=layout.stack(vocabulary.spell(tokens.to_tensor(PAD))),
        token_log_probabilities=layout.stack(by_token.to_tensor(0.0)),
    )
    none = TranslatedTexts("", float("-inf"), 0.0, "", "", 0.0)  # values of translations that do not exist
    shapes = [layout.exists] * 4 + [layout.exists[:, :, tf.newaxis]] * 2
    return TranslatedTexts(
        *(tf.where(shape, values, nothing)[:count] for shape, values, nothing in zip(shapes, every, none, strict=True))
    )
