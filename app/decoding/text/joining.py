"""The translations of texts, joined from those of their pieces."""

import tensorflow as tf

from app.decoding.text.output_checks import spelt
from app.decoding.text.sentences import is_followed_by_space, joined
from app.decoding.text.texts import FoundPieces, Pieces, TranslatedTexts
from pipelines.vocabulary.loading import AnyVocabulary
from pipelines.vocabulary.tokenizer import PAD


def join_pieces(texts: tf.Tensor, owner: tf.Tensor, rows: int | tf.Tensor) -> tf.Tensor:
    """Joins the texts of each row's pieces, leaving out empty ones: with a space, but not behind Chinese or Japanese.

    Example: ["Ja.", "Nein.", "", "So"] with owner [0, 0, 1, 2] and rows 3 gives ["Ja. Nein.", "", "So"].

    Args:
        texts: string [M].
        owner: int32 [M], rising.
        rows: N.

    Returns:
        string [N].
    """
    has_text = texts != ""
    texts, owner = texts[has_text], owner[has_text]
    is_inside = owner[1:] == owner[:-1]
    spaces = tf.where(is_inside & is_followed_by_space(texts[:-1]), " ", "")
    spaced = tf.strings.join([tf.concat([tf.fill(tf.shape(texts[:1]), ""), spaces], axis=0), texts])
    by_row = tf.RaggedTensor.from_value_rowids(spaced, owner, nrows=tf.cast(rows, owner.dtype))
    return tf.strings.reduce_join(by_row, axis=1)


def join_translations(
    vocabulary: AnyVocabulary, found: FoundPieces, pieces: Pieces, count: tf.Tensor
) -> TranslatedTexts:
    """The translations of `count` texts from those of their pieces.

    The j-th of a text joins the j-th of its pieces; a piece that has fewer gives its last one, as what is copied does.
    """
    rows = tf.maximum(count, 1)
    number, hypotheses = tf.unstack(tf.shape(found.scores))
    exist = tf.maximum(1, tf.math.count_nonzero(found.scores > float("-inf"), axis=1, dtype=tf.int32))  # [M]
    exists = tf.range(hypotheses) < tf.math.segment_max(exist, pieces.owner)[:, tf.newaxis]  # [N, H]
    own = tf.minimum(tf.range(hypotheses), exist[:, tf.newaxis] - 1)  # [M, H], whose place each hypothesis takes
    owners = pieces.owner + rows * tf.range(hypotheses)[:, tf.newaxis]  # [H, M]: the j-th translations of all texts
    owners = tf.reshape(owners, [-1])

    def of_pieces(values: tf.Tensor) -> tf.Tensor:  # [M, H, …], the missing ones filled in
        return tf.gather(values, own, batch_dims=1)

    def summed(values: tf.Tensor) -> tf.Tensor:  # [M, H, …] -> [N, H, …]
        return tf.math.segment_sum(of_pieces(values), pieces.owner)

    def by_token(values: tf.Tensor, kept: tf.RaggedTensor) -> tf.RaggedTensor:
        """Those of what is kept, [M, (K)], and of the translations, [sum of lengths] -> [H * N, (T)]."""
        of_each = tf.RaggedTensor.from_row_lengths(values, tf.reshape(found.lengths, [-1]))
        chosen = tf.transpose(hypotheses * tf.range(number)[:, tf.newaxis] + own)  # [H, M]
        of_each = tf.gather(of_each, tf.reshape(chosen, [-1]))
        kept = tf.gather(kept, tf.tile(tf.range(number), [hypotheses])).with_row_splits_dtype(of_each.row_splits.dtype)
        of_texts = tf.RaggedTensor.from_value_rowids(tf.concat([kept, of_each], axis=1), owners, rows * hypotheses)
        return of_texts.merge_dims(1, 2)

    def stacked(values: tf.Tensor) -> tf.Tensor:  # [H * N, T] -> [N, H, T]
        return tf.transpose(tf.reshape(values, [hypotheses, rows, tf.shape(values)[1]]), [1, 0, 2])

    texts = joined(pieces.kept[:, tf.newaxis], of_pieces(found.translations))
    texts = join_pieces(tf.reshape(tf.transpose(texts), [-1]), owners, rows * hypotheses)
    is_said = (pieces.tokens.row_lengths() > 0)[:, tf.newaxis]
    lengths = tf.cast(tf.maximum(summed(tf.where(is_said, found.lengths, 0)), 1), tf.float32)
    kept = vocabulary.encode_target(pieces.kept)
    every = TranslatedTexts(
        translations=tf.transpose(tf.reshape(texts, [hypotheses, rows])),
        scores=summed(found.scores),
        confidences=tf.exp(summed(found.log_probabilities) / lengths),
        warnings=spelt(summed(tf.cast(found.warnings, tf.int32)) > 0),
        pieces=stacked(vocabulary.spell(by_token(found.tokens, kept).to_tensor(PAD))),
        token_log_probabilities=stacked(
            by_token(found.token_log_probabilities, tf.zeros_like(kept, tf.float32)).to_tensor(0.0)
        ),
    )
    none = TranslatedTexts("", float("-inf"), 0.0, "", "", 0.0)  # in the place of a hypothesis that does not exist
    shapes = [exists] * 4 + [exists[:, :, tf.newaxis]] * 2
    return TranslatedTexts(
        *(tf.where(shape, values, nothing)[:count] for shape, values, nothing in zip(shapes, every, none, strict=True))
    )
