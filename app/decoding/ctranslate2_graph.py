"""A translation graph whose search and scores are those of CTranslate2; all around them is TensorFlow's as ever."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import tensorflow as tf

from app.decoding.options import DecodingOptions
from app.decoding.plain_translation import OnlyTexts, PlainTranslation
from app.decoding.search.beam_search import Hypotheses
from app.decoding.signatures import DEFAULT, DETOKENIZE, N_BEST, SCORE, TOKENIZE, TRANSLATE, Signatures
from app.decoding.text.texts import Search
from app.decoding.translation_graph import TranslationGraph
from app.runtime.utf8_names import in_utf8
from pipelines.vocabulary.loading import load_vocabulary
from pipelines.vocabulary.tokenizer import BOS, EOS, PAD

VOCABULARY = "vocabulary.model"  # beside the model, which has the pieces but not how text is cut into them
LIMIT_STEP = 8  # sources of like length share a limit of their translations, and a batch
KNOWN = (DEFAULT, TRANSLATE, N_BEST, SCORE, TOKENIZE, DETOKENIZE)  # signatures
SENTENCES_AT_ONCE = 64  # by each worker; more is no faster on a CPU


class CTranslate2Graph(TranslationGraph):
    """Translates text with a CTranslate2 model; for a translator alone, since no SavedModel can hold it.

    CTranslate2 divides by length ^ alpha where `beam_search` divides by ((5 + length) / 6) ^ alpha, and a hypothesis
    may end only where its end is among the K best extensions, not the 2K best. Its K hypotheses are ranked anew here.

    Args:
        folder: what `app.models.ctranslate2_model` wrote.
        options: of the search.
        workers: so many translate side by side, each with `threads` threads; else all processors help with each batch.
    """

    def __init__(self, folder: Path, options: DecodingOptions, *, workers: int = 1, threads: int = 0) -> None:
        super().__init__(None, load_vocabulary(folder / VOCABULARY), options)
        self.engine = ctranslate2.Translator(
            in_utf8(folder), device="auto", inter_threads=workers, intra_threads=threads
        )
        self.spelling = np.array(self.vocabulary.pieces(), object)
        self.ids = {piece: i for i, piece in enumerate(self.spelling)}

    def signatures(self) -> Signatures:
        """Those of a translation graph but for what CTranslate2 is not asked for here."""
        known = {name: function for name, function in super().signatures().items() if name in KNOWN}
        translate = PlainTranslation(self, known[TRANSLATE])
        return {**known, TRANSLATE: translate, DEFAULT: OnlyTexts(translate, known[DEFAULT])}

    def search(
        self,
        pieces: tf.RaggedTensor,
        hypotheses: int | tf.Tensor,
        search: Search | None = None,
        prefixes: tf.RaggedTensor | None = None,
    ) -> Hypotheses:
        """The best hypotheses for the pieces, int32 [B, (L)]; prefixes it does not know."""
        search = search or Search.of(self.options)
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

        # The engine tells none while it searches, so they cost another pass; only lists of the whole beam show them.
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
        """Of the labels, int32 [N, T], as translations of `sources`, int32 [N, (L)]: float32 [N, T], 0 at PAD."""
        by_token = tf.numpy_function(
            lambda ids, splits, labels: self._score(np.split(ids, splits[1:-1]), labels),
            [sources.values, sources.row_splits, labels],
            tf.float32,
        )
        return tf.reshape(by_token, tf.shape(labels))

    def find(self, sources: Sequence[np.ndarray | Sequence[int]], search: Search) -> tuple[np.ndarray, ...]:
        """Tokens, scores and log-probabilities of `Hypotheses`; of a source without tokens there is only EOS."""
        beam_size, alpha = int(search.beam_size), float(search.length_penalty)
        rows = [row for row, ids in enumerate(sources) if len(ids)]
        limits = [-(-len(sources[row]) // LIMIT_STEP) * LIMIT_STEP + int(search.max_extra_tokens) for row in rows]
        found: dict[int, Any] = {}
        for limit in set(limits):  # else a sentence's limit would be that of the longest beside it
            alike = [row for row, its_limit in zip(rows, limits, strict=True) if its_limit == limit]
            found.update(zip(alike, self._submit([sources[row] for row in alike], limit, search), strict=True))
        results = {row: waiting.result() for row, waiting in found.items()}
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
        return tokens, scores, log_probabilities

    def _submit(self, sources: Sequence[np.ndarray | Sequence[int]], limit: int, search: Search) -> list[Any]:
        """What will be the hypotheses of each source, of at most `limit` tokens without EOS."""
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
            min_decoding_length=0,
            max_decoding_length=limit,
            suppress_sequences=[[self.spelling[PAD]], [self.spelling[BOS]]],
            return_scores=True,
        )

    def _score(self, sources: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
        """float32 [N, T]; a row of labels without a token stays 0."""
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
