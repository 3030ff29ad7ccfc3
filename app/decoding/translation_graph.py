"""Text to text as one TensorFlow graph: tokenise, split, encode, search, detokenise, join.

`nmt translate` runs this graph, and an export holds it. It knows nothing of files, lines or batches.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from app.decoding.beam_search import Hypotheses, beam_search
from app.decoding.growing_cache import Cache, GrowingCache
from app.decoding.long_input import cut_tables, join_pieces, split_long
from app.decoding.options import DecodingOptions
from app.decoding.scoring import TokenScores, score_tokens
from pipelines.vocabulary import EOS, PAD, Vocabulary

Signatures = Mapping[str, Callable[..., Mapping[str, tf.Tensor]]]

# The names of the signatures.
TRANSLATE, N_BEST, SCORE, COUNT_TOKENS = "serving_default", "n_best", "score", "count_tokens"
SOURCE_TOKENS_AT_ONCE = 16_384  # padded; bounds the memory of a very long text: a base model's beams take 2 GB


class TranslatedTexts(NamedTuple):
    """The H best translations of each of N texts, best first.

    Where there is no H-th translation its text is empty and its score -inf.
    """

    translations: tf.Tensor  # string [N, H]
    scores: tf.Tensor  # float32 [N, H]


class ScoredTexts(NamedTuple):
    """What the model gives to N translations of up to T tokens."""

    scores: tf.Tensor  # float32 [N], log-probability / length penalty
    log_probabilities: tf.Tensor  # float32 [N], the sums of those of the tokens
    token_log_probabilities: tf.Tensor  # float32 [N, T]
    pieces: tf.Tensor  # string [N, T]: the tokens, the last one "</s>"; after them ""


class TranslationGraph(tf.Module):
    """A transformer and a vocabulary that translate text.

    Args:
        transformer: a `layers.transformer.Transformer`, or what has its decoding methods.
        vocabulary: the one it was trained with.
        options: of the search.
    """

    def __init__(self, transformer: Any, vocabulary: Vocabulary, options: DecodingOptions) -> None:
        super().__init__(name="translation")
        self.transformer = transformer
        self.vocabulary = vocabulary
        self.options = options
        self.cut_tables = cut_tables(vocabulary.pieces())

    def signatures(self) -> Signatures:
        """The graph as functions, each traced once for every number of texts; for a translator or a SavedModel.

        All take `texts` (string [N]). `serving_default` gives the best `translations` (string [N]) and their `scores`
        (float32 [N]); `n_best`, which searches longer, gives as many as the beam holds ([N, K], best first);
        `count_tokens` gives `tokens` (int32 [N]). `score` takes `targets` (string
        [N]) too and gives the fields of `ScoredTexts`.
        """
        signature = [tf.TensorSpec([None], tf.string, name="texts")]

        @tf.function(input_signature=signature)
        def translate(texts: tf.Tensor) -> dict[str, tf.Tensor]:
            return {name: values[:, 0] for name, values in self.translate(texts)._asdict().items()}

        @tf.function(input_signature=signature)
        def n_best(texts: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.translate(texts, hypotheses=self.options.beam_size)._asdict()

        @tf.function(input_signature=signature)
        def count_tokens(texts: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"tokens": _row_lengths(self.vocabulary.encode(texts))}

        @tf.function(input_signature=[*signature, tf.TensorSpec([None], tf.string, name="targets")])
        def score(texts: tf.Tensor, targets: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.score(texts, targets)._asdict()

        return {TRANSLATE: translate, N_BEST: n_best, SCORE: score, COUNT_TOKENS: count_tokens}

    def translate(self, texts: tf.Tensor, *, hypotheses: int = 1) -> TranslatedTexts:
        """Translates `texts` (string [N]; N may be 0) into the `hypotheses` best translations of each.

        A text without a token, such as the empty one, becomes an empty text with score 0. A text too long for the
        model is translated in pieces: its j-th translation joins the pieces' j-th translations, and the score is the
        sum of theirs.
        """
        count = tf.size(texts)
        filler = tf.fill([tf.cast(count == 0, tf.int32)], "")  # a model need not take a batch of no rows
        texts = tf.concat([texts, filler], axis=0)
        tokens = self.vocabulary.encode(texts)
        pieces, owner = split_long(tokens, self.options.max_source_tokens, self.cut_tables)
        found = self.translate_pieces(pieces, hypotheses)
        joined = [join_pieces(found.translations[:, i], owner, tf.size(texts)) for i in range(hypotheses)]
        scores = tf.math.segment_sum(found.scores, owner)  # [M, H] -> [N, H]
        return TranslatedTexts(tf.stack(joined, axis=1)[:count], scores[:count])

    def score(self, texts: tf.Tensor, targets: tf.Tensor) -> ScoredTexts:
        """Scores `targets` (string [N]) as translations of `texts` (string [N]; N may be 0).

        A text is scored whole, also where `translate` would split it. A text without a token and a translation without
        one have score 0, as `translate` has it.
        """
        sources, labels = self.vocabulary.encode(texts), self.vocabulary.encode(targets)
        is_empty = (_row_lengths(sources) == 0) & (_row_lengths(labels) == 0)
        labels = tf.where(is_empty[:, tf.newaxis], PAD, _ended(labels))
        found = self.score_tokens(sources, labels)
        return ScoredTexts(*found, pieces=self.vocabulary.spell(labels))

    def translate_pieces(self, pieces: tf.RaggedTensor, hypotheses: int) -> TranslatedTexts:
        """Translates the pieces, int32 [M, (L)] with M > 0, a bounded number of tokens at once."""
        rows = pieces.nrows(out_type=tf.int32)
        rows_at_once = tf.maximum(1, SOURCE_TOKENS_AT_ONCE // (1 + tf.reduce_max(_row_lengths(pieces))))

        def translate_some(first: tf.Tensor, done: TranslatedTexts) -> tuple[tf.Tensor, TranslatedTexts]:
            some = self.translate_batch(pieces[first : first + rows_at_once], hypotheses)
            both = [tf.concat(parts, axis=0) for parts in zip(done, some, strict=True)]
            return first + rows_at_once, TranslatedTexts(*both)

        none = TranslatedTexts(tf.fill([0, hypotheses], ""), tf.fill([0, hypotheses], 0.0))
        shape = tf.TensorShape([None, hypotheses])
        _, found = tf.while_loop(
            lambda first, _: first < rows,
            translate_some,
            (tf.constant(0), none),
            shape_invariants=(tf.TensorShape([]), TranslatedTexts(shape, shape)),
        )
        return found

    def translate_batch(self, pieces: tf.RaggedTensor, hypotheses: int) -> TranslatedTexts:
        """Translates the pieces, int32 [B, (L)] with B > 0, all at once."""
        found = self.search(pieces, hypotheses)
        shape = [pieces.nrows(out_type=tf.int32), hypotheses]
        tokens = tf.reshape(found.tokens, [shape[0] * hypotheses, -1])  # [B, H, T] -> [B * H, T]
        texts = tf.reshape(self.vocabulary.decode(tokens), shape)
        texts = tf.strings.regex_replace(texts, r"[\r\n]+", " ")  # spelt in bytes; but a text stays one line
        has_no_token = (_row_lengths(pieces) == 0)[:, tf.newaxis] & (found.lengths > 0)
        return TranslatedTexts(texts, tf.where(has_no_token, 0.0, found.scores))

    def score_tokens(self, sources: tf.RaggedTensor, labels: tf.Tensor) -> TokenScores:
        """Scores the labels, int32 [N, T], as translations of `sources`, int32 [N, (L)] without EOS."""
        return score_tokens(
            self.transformer,
            _ended(sources),
            labels,
            vocabulary_size=self.vocabulary.size,
            length_penalty=self.options.length_penalty,
        )

    def search(self, pieces: tf.RaggedTensor, hypotheses: int) -> Hypotheses:
        """The best hypotheses for the pieces, int32 [B, (L)]; of one without tokens there is only EOS."""
        rows, lengths = pieces.nrows(out_type=tf.int32), _row_lengths(pieces)
        memory, may_attend = self.transformer.encode(_ended(pieces))
        cross = self.transformer.cross_cache(memory)
        growing = GrowingCache(self.transformer, rows * self.options.beam_size)

        def step(tokens: tf.Tensor, position: tf.Tensor, cache: Cache) -> tuple[tf.Tensor, Cache]:
            cache = growing.with_room(cache, position)
            logits, cache = self.transformer.decode_step(tokens[:, tf.newaxis], position, cache, cross, may_attend)
            return logits[:, 0], cache

        return beam_search(
            step,
            growing.room(),
            length_limits=tf.where(lengths == 0, 1, lengths + 1 + self.options.max_extra_tokens),
            beam_size=self.options.beam_size,
            length_penalty=self.options.length_penalty,
            hypotheses=hypotheses,
        )


def _ended(rows: tf.RaggedTensor) -> tf.Tensor:
    """Rows of ids, int32 [B, (L)], each with EOS at its end, filled up with PAD: int32 [B, L + 1]."""
    return tf.concat([rows, tf.fill([rows.nrows(), 1], EOS)], axis=1).to_tensor(PAD)


def _row_lengths(rows: tf.RaggedTensor) -> tf.Tensor:
    return tf.cast(rows.row_lengths(), tf.int32)
