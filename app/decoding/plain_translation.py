"""The signatures `translate` and `serving_default` for CTranslate2, in Python with almost no TensorFlow.

In a TensorFlow graph, hundreds of operations tokenise, cut, check and join texts. With a small model, these operations
take as long as CTranslate2 needs to translate a sentence. So this module processes the texts in Python. If a sentence
is too long for the model, the graph is used.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import regex
import tensorflow as tf

from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.signatures import DEFAULT_OUTPUTS, Signature
from keras_nmt.app.decoding.text.leading_tags import TagTables
from keras_nmt.app.decoding.text.output_checks import WARNINGS
from keras_nmt.app.decoding.text.plain_output_checks import Side, plain_warnings
from keras_nmt.app.decoding.text.sentences import (
    Parts,
    is_followed_by_space_in_python,
    joined_outside,
    split_copied_outside,
    stretches_in_python,
)
from keras_nmt.app.decoding.text.texts import Search
from keras_nmt.app.decoding.text_pipeline import TextPipeline
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import EOS, PAD

_LINE_ENDS = re.compile(r"[\r\n]+")
EXAMINED = 2  # hypotheses that are checked: the second-best replaces the best one if the second-best has fewer warnings


class Found(NamedTuple):
    """The result of a search for B sources: the K best hypotheses of each source, best first."""

    tokens: np.ndarray  # int32 [B, K, T], EOS included, then PAD
    scores: np.ndarray  # float32 [B, K], -inf where there is no hypothesis
    log_probabilities: np.ndarray  # float32 [B, K]


class PlainEngine(Protocol):
    """An engine that can search without a TensorFlow graph."""

    @property
    def vocabulary(self) -> AnyVocabulary:
        """The vocabulary of the engine's model."""

    @property
    def options(self) -> DecodingOptions:
        """The default settings of the search."""

    @property
    def text(self) -> TextPipeline:
        """The pipeline that cuts texts for the engine."""

    def find(self, sources: Sequence[np.ndarray | Sequence[int]], search: Search) -> Found:
        """Searches for the best hypotheses of each source, a sequence of token ids."""


class PlainTranslation:
    """The signature `translate`, computed in Python.

    If there are no texts, or if any sentence is too long for the model or contains only tags, `fallback` computes the
    translations of all texts instead.

    Args:
        engine: The engine that searches.
        fallback: The engine's signature `translate` as a graph.
    """

    def __init__(self, engine: PlainEngine, fallback: Signature) -> None:
        self.engine = engine
        self.fallback = fallback
        self.input_signature = fallback.input_signature
        self.defaults = Search.of(engine.options)
        tags = engine.text.cutter.tags
        self.tags = regex.compile(tags) if tags else None

    def __call__(self, texts: tf.Tensor, **settings: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Returns the outputs of the signature `translate`, each [N], for `texts`, string [N]."""
        of_texts = [self.pieces(text.decode("utf-8", "replace")) for text in texts.numpy()]
        pieces = [piece for of_text in of_texts for piece in of_text]
        sources = self.engine.vocabulary.encode_in_python([piece.rest for piece in pieces])
        spoken = [behind_tags(ids, self.engine.text.tables.tags) for ids in sources]
        longest = max(map(len, sources), default=0)
        is_bare_tag = any(ids and not text for ids, text in zip(sources, spoken, strict=True))
        if not sources or longest > self.engine.options.max_source_tokens or is_bare_tag:
            return self.fallback(texts=texts, **settings)
        search = Search(*(value.numpy() for value in self.defaults._replace(**settings)))
        found = Found(*(values[:, :EXAMINED] for values in self.engine.find(sources, search)))
        of_pieces = iter(self.chosen(spoken, found))
        whole = [joined_pieces([(piece.copied, next(of_pieces)) for piece in of_text]) for of_text in of_texts]
        return {
            "translations": tf.constant([one.translation for one in whole]),
            "scores": tf.constant([one.score for one in whole], tf.float32),
            "confidences": tf.constant([one.confidence for one in whole], tf.float32),
            "warnings": tf.constant([",".join(one.warnings) for one in whole]),
        }

    def pieces(self, text: str) -> list[Parts]:
        """Cuts a text into sentences as `Cutter.cut` does, but does not split sentences that are too long.

        The leading tags of the text are put before the part of each sentence that is translated.
        """
        found = self.tags and self.tags.match(text)
        tags = found[0] if found else ""
        parts = [split_copied_outside(stretch.text) for stretch in stretches_in_python(text[len(tags) :])]
        return [Parts(copied, tags + rest if rest else "") for copied, rest in parts] or [Parts("", "")]

    def chosen(self, sources: Sequence[Sequence[int]], found: Found) -> list["Chosen"]:
        """Returns the best hypothesis of each source, or the second-best hypothesis if it has fewer warnings.

        Args:
            sources: The token ids of each source, without leading tags.
            found: The hypotheses of the sources.
        """
        hypotheses = [[without_padding(ids) for ids in of_source] for of_source in found.tokens]
        texts = self.engine.vocabulary.decode_in_python([*sources, *(ids[:-1] for each in hypotheses for ids in each)])
        of_hypotheses = iter(texts[len(sources) :])
        rows = []
        for row, (source, ids) in enumerate(zip(sources, hypotheses, strict=True)):
            sides = [Side(_LINE_ENDS.sub(" ", next(of_hypotheses)), each) for each in ids]
            rows.append(_best(Side(texts[row], source), sides, found.scores[row], found.log_probabilities[row]))
        return rows


class OnlyTexts:
    """The signature `serving_default`: takes only texts, and returns their translations and scores.

    Args:
        translate: The signature `translate`.
        fallback: The engine's own signature `serving_default`, a graph. This object replaces it.
    """

    def __init__(self, translate: PlainTranslation, fallback: Signature) -> None:
        self.translate = translate
        self.fallback = fallback
        self.input_signature = fallback.input_signature

    def __call__(self, texts: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Returns `translations` and `scores`, each [N], for `texts`, string [N]."""
        found = self.translate(texts)
        return {name: found[name] for name in DEFAULT_OUTPUTS}


class Chosen(NamedTuple):
    """The translation of a text, or of one piece of a text.

    Attributes:
        translation: The translated text.
        score: The score of the piece, or the sum of the scores of a text's pieces.
        log_probability: The summed log-probability of the tokens.
        tokens: The number of translated tokens, EOS included; copied text does not count.
        warnings: The names of the warnings.
    """

    translation: str
    score: float
    log_probability: float
    tokens: int
    warnings: tuple[str, ...]

    @property
    def confidence(self) -> float:
        """The geometric mean of the tokens' probabilities."""
        return float(np.exp(self.log_probability / max(1, self.tokens)))


def joined_pieces(pieces: Sequence[tuple[str, Chosen]]) -> Chosen:
    """Joins the pieces of a text: concatenates the texts, sums the numbers, and collects the warnings.

    Args:
        pieces: The copied part of each piece, and the translation that follows the copied part.
    """
    text, last = "", ""
    for copied, found in pieces:
        part = joined_outside(copied, found.translation)
        if part:
            text += " " * bool(text and is_followed_by_space_in_python(last)) + part
            last = part
    every = [found for _, found in pieces]
    return Chosen(
        text,
        score=sum(found.score for found in every),
        log_probability=sum(found.log_probability for found in every),
        tokens=sum(found.tokens for found in every),
        warnings=tuple(name for name in WARNINGS if any(name in found.warnings for found in every)),
    )


def _best(source: Side, hypotheses: Sequence[Side], scores: np.ndarray, log_probabilities: np.ndarray) -> Chosen:
    """Returns the hypothesis with the fewest warnings. If several have equally few, returns the first of them."""
    tried = []
    for hypothesis, score, log_probability in zip(hypotheses, scores, log_probabilities, strict=True):
        if score > -np.inf:
            warnings = plain_warnings(source, hypothesis)
            names = tuple(name for name, is_found in zip(WARNINGS, warnings, strict=True) if is_found)
            tokens = len(hypothesis.tokens) if source.tokens else 0
            tried.append(Chosen(hypothesis.text, float(score), float(log_probability), tokens, names))
    return min(tried, key=lambda one: len(one.warnings))


def without_padding(ids: np.ndarray) -> list[int]:
    """Returns the token ids of a hypothesis, int32 [T], without PAD. Returns [EOS] if all ids are PAD."""
    return ids[ids != PAD].tolist() or [EOS]


def behind_tags(ids: Sequence[int], tables: TagTables) -> Sequence[int]:
    """Returns the tokens of a source without its leading tags, as `leading_tags.without_tags` does in a graph."""
    end = 0
    for place, token in enumerate(ids):
        if tables.is_tag[token]:
            end = place + 1
        elif not tables.is_space[token]:
            break
    return ids[end:]
