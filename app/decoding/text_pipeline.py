"""The text processing of an engine, without the model: cuts texts into pieces, and joins the results of the pieces."""

from collections.abc import Callable
from functools import partial

import tensorflow as tf

from keras_nmt.app.decoding.forced.given_pieces import GivenPieces, given_pieces
from keras_nmt.app.decoding.forced.scoring import TokenScores, joined_scores
from keras_nmt.app.decoding.network.traced import traced
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.search.hypotheses import HYPOTHESES_SPEC, Hypotheses
from keras_nmt.app.decoding.text.cutting import Cutter
from keras_nmt.app.decoding.text.found_pieces import OutputChecks, found_pieces, no_pieces
from keras_nmt.app.decoding.text.joining import join_translations
from keras_nmt.app.decoding.text.output_checks import find_warnings
from keras_nmt.app.decoding.text.texts import (
    FOUND_PIECES_SPEC,
    PIECES_SPEC,
    FoundPieces,
    Pieces,
    ScoredTexts,
    TranslatedTexts,
    row_lengths,
    with_end,
)
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import PAD

BEAM_TOKENS_AT_ONCE = 65_536  # padded source tokens times beams of a batch; bounds the memory (2 GB for a base model)

# (tokens of some pieces, int32 [B, (L)], indices of these pieces, int32 [B]) -> their hypotheses, at least as many as
# were requested.
Finder = Callable[[tf.RaggedTensor, tf.Tensor], Hypotheses]
Pairing = Callable[[Cutter, tf.Tensor, tf.Tensor], GivenPieces]  # texts and their given outputs -> pairs of pieces
# (sources, int32 [N, (L)], labels, int32 [N, T]) -> the log-probability of each label, float32 [N, T], 0 at PAD.
TokenScorer = Callable[[tf.RaggedTensor, tf.Tensor], tf.Tensor]


class TextPipeline(tf.Module):
    """Tokenisation, cutting and joining of texts, before and after an engine's search.

    Each part is traced once and shared by all signatures, because the time to load a SavedModel grows with its number
    of operations.

    Args:
        vocabulary: The vocabulary of the model.
        options: The settings of the search, of which only `max_source_tokens` is used.
        cutter: Cuts texts into pieces; None to cut them into sentences.
        pairing: Cuts texts and given outputs into pairs of pieces.
        checks: Finds warnings about outputs.

    Attributes:
        cut: The function texts, string [N] -> `Pieces`.
        prefixes: The function (`Pieces`, prefixes, string [N]) -> the tokens that the translation of each piece begins
            with, int32 [M, (P)].
        pair: The function (texts, targets, each string [N]) -> `GivenPieces`.
    """

    def __init__(
        self,
        vocabulary: AnyVocabulary,
        options: DecodingOptions,
        *,
        cutter: Cutter | None = None,
        pairing: Pairing = given_pieces,
        checks: OutputChecks = find_warnings,
    ) -> None:
        super().__init__(name="text")
        self.vocabulary = vocabulary
        self.cutter = cutter or Cutter(vocabulary, options.max_source_tokens)
        self.tables = self.cutter.tables
        ids, text = tf.RaggedTensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.string)
        whole = tf.TensorSpec([], tf.int32)
        self.cut = traced(self.cutter.cut, text)
        self.prefixes = traced(self.cutter.prefixes, PIECES_SPEC, text)
        self.pair = traced(partial(pairing, self.cutter), text, text)
        self._found = traced(
            lambda *values: found_pieces(*values, vocabulary=vocabulary, tags=self.cutter.tables.tags, checks=checks),
            *(ids, HYPOTHESES_SPEC, whole, tf.TensorSpec([], tf.bool)),
        )
        self._joined = traced(partial(join_translations, vocabulary), FOUND_PIECES_SPEC, PIECES_SPEC, whole)

    def translate(
        self,
        pieces: Pieces,
        texts: tf.Tensor,
        find: Finder,
        *,
        hypotheses: int | tf.Tensor,
        beams: tf.Tensor,
        retry: bool | tf.Tensor = False,
    ) -> TranslatedTexts:
        """Translates the pieces of `texts` (string [N]) with `find`, in batches with a bounded number of tokens.

        Args:
            pieces: The pieces of the texts.
            texts: The texts that were cut into pieces.
            find: The function that searches for hypotheses of some pieces.
            hypotheses: The number of translations of each text.
            beams: The number of hypotheses that the search extends at once for each piece. A larger number makes the
                batches smaller.
            retry: True to replace the best translation of a piece by the second-best one if the second-best one has
                fewer warnings.
        """
        rows = pieces.tokens.nrows(out_type=tf.int32)
        beam_tokens = tf.maximum(4, beams) * (1 + tf.reduce_max(row_lengths(pieces.tokens)))
        rows_at_once = tf.maximum(1, BEAM_TOKENS_AT_ONCE // beam_tokens)

        def translate_some(first: tf.Tensor, done: FoundPieces) -> tuple[tf.Tensor, FoundPieces]:
            numbers = tf.range(first, tf.minimum(first + rows_at_once, rows))
            tokens = tf.gather(pieces.tokens, numbers)
            some = self._found(tokens, find(tokens, numbers), hypotheses, retry)
            both = [tf.concat(parts, axis=0) for parts in zip(done, some, strict=True)]
            return first + rows_at_once, FoundPieces(*both)

        shapes = FoundPieces(*(spec.shape for spec in FOUND_PIECES_SPEC))
        _, found = tf.while_loop(
            lambda first, _: first < rows,
            translate_some,
            (tf.constant(0), no_pieces(hypotheses)),
            shape_invariants=(tf.TensorShape([]), shapes),
        )
        return self.finished(self._joined(found, pieces, tf.size(texts)), texts)

    def written(self, texts: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
        """Returns the outputs with token ids, int32 [N, T], for `texts`, string [N]; subclasses override it."""
        return self.vocabulary.decode(tokens)

    def finished(self, found: TranslatedTexts, texts: tf.Tensor) -> TranslatedTexts:
        """Returns the outputs for `texts` (string [N]) in their final form; subclasses override this method."""
        return found

    def score(
        self, texts: tf.Tensor, targets: tf.Tensor, token_log_probabilities: TokenScorer, alpha: float | tf.Tensor
    ) -> ScoredTexts:
        """Scores `targets` (string [N]) as translations of `texts` (string [N]; N may be 0).

        `given_pieces` cuts each text and its translation into pairs of pieces. The score of a text is the sum of the
        scores of its pairs. Copied text adds nothing. A pair in which neither piece has tokens has score 0.

        Args:
            texts: The source texts.
            targets: The translations of the source texts.
            token_log_probabilities: The engine's function that computes the log-probabilities of target tokens.
            alpha: The exponent of the length penalty.
        """
        pieces = self.pair(texts, targets)
        labels = with_end(pieces.labels)
        is_empty = (row_lengths(pieces.tokens) == 0) & (row_lengths(pieces.labels) == 0)
        scored = tf.where(is_empty[:, tf.newaxis], PAD, labels)
        by_token = token_log_probabilities(pieces.tokens, scored)
        copied = self.vocabulary.encode_target(pieces.copied)
        shown = tf.where((row_lengths(copied) > 0)[:, tf.newaxis], labels, scored)
        found = joined_scores(pieces, TokenScores(scored, by_token), shown=shown, copied=copied, alpha=alpha)
        found = found._replace(pieces=self.vocabulary.spell(found.pieces))
        return ScoredTexts(*(values[: tf.size(texts)] for values in found))
