"""A translation graph that searches and scores with CTranslate2, and processes text with TensorFlow."""

from collections.abc import Sequence
from pathlib import Path

import ctranslate2
import numpy as np
import tensorflow as tf

from keras_nmt.app.decoding.network.traced import traced
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.plain_translation import Found, OnlyTexts, PlainTranslation
from keras_nmt.app.decoding.search.hypotheses import Hypotheses
from keras_nmt.app.decoding.signatures import DEFAULT, TRANSLATE, Signatures, engine_signatures
from keras_nmt.app.decoding.text.texts import ScoredTexts, Search, TranslatedTexts
from keras_nmt.app.decoding.text_pipeline import TextPipeline
from keras_nmt.app.runtime.utf8_names import in_utf8
from keras_nmt.pipelines.vocabulary.loading import load_vocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD

VOCABULARY = "vocabulary.model"  # a file beside model.bin, which contains the pieces but no rules for tokenising
LIMIT_STEP = 8  # sources whose lengths round up to the same multiple of it share a batch and a length limit
SENTENCES_AT_ONCE = 64  # batch size of each worker; larger batches are no faster on a CPU


class CTranslate2Graph(tf.Module):
    """A `TranslationEngine` that translates text with a CTranslate2 model. It cannot be saved in a SavedModel.

    The search of CTranslate2 differs from `beam_search` in two points; K is the beam size:

    - CTranslate2 divides the log-probability of a hypothesis by length ^ alpha, but `beam_search` divides it by
      ((5 + length) / 6) ^ alpha. So this class computes the scores of `beam_search` for the K hypotheses that
      CTranslate2 returns, and sorts the hypotheses by these scores.
    - At each step, CTranslate2 finishes a hypothesis if its extension by EOS is among the K most probable extensions of
      all beams of a sentence. `beam_search` finishes it if this extension is among the 2K most probable ones.

    Args:
        folder: The model folder, as written by `app.models.ctranslate2_model`.
        options: The default settings of the search.
        workers: The number of workers. Each translates one batch at a time, with `threads` threads.
        threads: The number of threads of each worker. 0 lets CTranslate2 choose.
    """

    def __init__(self, folder: Path, options: DecodingOptions, *, workers: int = 1, threads: int = 0) -> None:
        super().__init__(name="ctranslate2")
        self.vocabulary = load_vocabulary(folder / VOCABULARY)
        self.options = options
        self.text = TextPipeline(self.vocabulary, options)
        self.engine = ctranslate2.Translator(
            in_utf8(folder), device="auto", inter_threads=workers, intra_threads=threads
        )
        self.spelling = np.array(self.vocabulary.pieces(), object)
        self.ids = {piece: i for i, piece in enumerate(self.spelling)}
        settings = [tf.TensorSpec([], value.dtype) for value in Search.of(options)]
        self.traced_search = traced(
            lambda pieces, hypotheses, *search: self.search(pieces, hypotheses, Search(*search)),
            *(tf.RaggedTensorSpec([None, None], tf.int32), tf.TensorSpec([], tf.int32), *settings),
        )

    def signatures(self) -> Signatures:
        """Returns the signatures that `engine_signatures` lists, by name.

        `translate` and `serving_default` are computed in Python instead of a TensorFlow graph (see `PlainTranslation`).
        """
        in_graph = engine_signatures(self)
        translate = PlainTranslation(self, in_graph[TRANSLATE])
        return {**in_graph, TRANSLATE: translate, DEFAULT: OnlyTexts(translate, in_graph[DEFAULT])}

    def translate(
        self,
        texts: tf.Tensor,
        search: Search | None = None,
        *,
        hypotheses: int | tf.Tensor = 1,
        retry: bool | tf.Tensor = False,
    ) -> TranslatedTexts:
        """Translates `texts` (string [N]); see `TranslationEngine.translate`."""
        search = search or Search.of(self.options)

        def find(tokens: tf.RaggedTensor, _: tf.Tensor) -> Hypotheses:
            found: Hypotheses = self.traced_search(tokens, hypotheses, *search)
            return found

        pieces = self.text.cut(texts)
        return self.text.translate(pieces, texts, find, hypotheses=hypotheses, beams=search.beam_size, retry=retry)

    def score(
        self, texts: tf.Tensor, targets: tf.Tensor, length_penalty: float | tf.Tensor | None = None
    ) -> ScoredTexts:
        """Scores `targets` (string [N]) as translations of `texts` (string [N]); see `TranslationEngine.score`."""
        alpha = self.options.length_penalty if length_penalty is None else length_penalty
        return self.text.score(texts, targets, self.token_log_probabilities, alpha)

    def search(self, pieces: tf.RaggedTensor, hypotheses: int | tf.Tensor, search: Search) -> Hypotheses:
        """Searches for the best hypotheses of each piece of text, a row of token ids in `pieces`, int32 [B, (L)].

        The result has K = `search.beam_size` hypotheses of each piece. `hypotheses` only decides
        whether the field `token_log_probabilities` is computed. It is computed if `hypotheses` is K, and else all 0.
        """
        found = tf.numpy_function(
            lambda ids, splits, *settings: self.find(np.split(ids, splits[1:-1]), Search(*settings)),
            [pieces.values, pieces.row_splits, *search],
            (tf.int32, tf.float32, tf.float32),
        )
        shapes = ([None, None, None], *[[None, None]] * 2)
        tokens, scores, log_probabilities = (
            tf.ensure_shape(value, shape) for value, shape in zip(found, shapes, strict=True)
        )

        def scored() -> tf.Tensor:
            every = tf.reshape(tokens, [-1, tf.shape(tokens)[2]])
            of_each = tf.gather(pieces, tf.repeat(tf.range(pieces.nrows(out_type=tf.int32)), search.beam_size))
            return tf.reshape(self.token_log_probabilities(of_each, every), tf.shape(tokens))

        # CTranslate2 does not return the log-probabilities of tokens. Another pass computes them if they are needed.
        by_token = tf.cond(
            tf.equal(hypotheses, search.beam_size), scored, lambda: tf.zeros(tf.shape(tokens), tf.float32)
        )
        return Hypotheses(
            tokens=tokens,
            scores=scores,
            log_probabilities=log_probabilities,
            lengths=tf.math.count_nonzero(tokens != PAD, axis=2, dtype=tf.int32),
            token_log_probabilities=by_token,
        )

    def token_log_probabilities(self, sources: tf.RaggedTensor, labels: tf.Tensor) -> tf.Tensor:
        """Computes the log-probability of each token of given translations: float32 [N, T], 0 at PAD.

        Args:
            sources: int32 [N, (L)], the source tokens.
            labels: int32 [N, T], the tokens of the translations, EOS included, then PAD.
        """
        by_token = tf.numpy_function(
            lambda ids, splits, labels: self._score(np.split(ids, splits[1:-1]), labels),
            [sources.values, sources.row_splits, labels],
            tf.float32,
        )
        return tf.reshape(by_token, tf.shape(labels))

    def find(self, sources: Sequence[np.ndarray | Sequence[int]], search: Search) -> Found:
        """Searches for the best hypotheses of each source, a sequence of token ids.

        The only hypothesis of a source without tokens is EOS, with score 0.
        """
        results = self._results(sources, search)
        beam_size, alpha = int(search.beam_size), float(search.length_penalty)
        longest = 1 + max((len(pieces) for result in results.values() for pieces in result.hypotheses), default=0)
        tokens = np.full([len(sources), beam_size, longest], PAD, np.int32)
        scores, log_probabilities = np.full([2, len(sources), beam_size], -np.inf, np.float32)
        tokens[:, 0, 0], scores[:, 0], log_probabilities[:, 0] = EOS, 0.0, 0.0
        for row, result in results.items():
            lengths = np.array([len(pieces) + 1 for pieces in result.hypotheses])
            totals = np.array(result.scores) * lengths**alpha
            ours = totals / ((5 + lengths) / 6) ** alpha
            for place, best in enumerate(np.argsort(-ours, kind="stable")):
                ids = [*(self.ids[piece] for piece in result.hypotheses[best]), EOS]
                tokens[row, place, : len(ids)] = ids
                scores[row, place], log_probabilities[row, place] = ours[best], totals[best]
        return Found(tokens, scores, log_probabilities)

    def _results(
        self, sources: Sequence[np.ndarray | Sequence[int]], search: Search
    ) -> dict[int, ctranslate2.TranslationResult]:
        """Returns CTranslate2's result for each source that has tokens, by the index of the source."""
        rows = [row for row, ids in enumerate(sources) if len(ids)]
        limits = [-(-len(sources[row]) // LIMIT_STEP) * LIMIT_STEP + int(search.max_extra_tokens) for row in rows]
        limits = [min(limit, int(search.max_tokens) or limit) for limit in limits]
        waiting: dict[int, ctranslate2.AsyncTranslationResult] = {}
        for limit in set(limits):  # a batch has only one limit, so sources with different limits are not mixed
            alike = [row for row, its_limit in zip(rows, limits, strict=True) if its_limit == limit]
            waiting.update(zip(alike, self._submit([sources[row] for row in alike], limit, search), strict=True))
        return {row: result.result() for row, result in waiting.items()}

    def _submit(
        self, sources: Sequence[np.ndarray | Sequence[int]], limit: int, search: Search
    ) -> list[ctranslate2.AsyncTranslationResult]:
        """Starts a search for hypotheses of at most `limit` tokens, EOS excluded. Does not wait for the results."""
        return self.engine.translate_batch(
            [self.spelling[ids].tolist() for ids in sources],
            max_batch_size=SENTENCES_AT_ONCE,
            asynchronous=True,
            beam_size=int(search.beam_size),
            num_hypotheses=int(search.beam_size),
            length_penalty=float(search.length_penalty),
            no_repeat_ngram_size=int(search.no_repeat_ngram_size),
            repetition_penalty=float(search.repetition_penalty),
            max_input_length=0,
            min_decoding_length=min(int(search.min_tokens), limit),
            max_decoding_length=limit,
            suppress_sequences=[[self.spelling[PAD]], [self.spelling[BOS]]],
            return_scores=True,
        )

    def _score(self, sources: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
        """Computes the result of `token_log_probabilities` in Python. A row of labels that has only PAD gets 0."""
        by_token = np.zeros(labels.shape, np.float32)
        rows = np.flatnonzero((labels != PAD).any(axis=1)).tolist()
        targets = [labels[row][(labels[row] != PAD) & (labels[row] != EOS)] for row in rows]
        scored = self.engine.score_batch(
            [self.spelling[sources[row]].tolist() for row in rows],
            [self.spelling[ids].tolist() for ids in targets],
            max_batch_size=SENTENCES_AT_ONCE,
            max_input_length=0,
        )
        for row, result in zip(rows, scored, strict=True):
            by_token[row, : len(result.log_probs)] = result.log_probs
        return by_token
