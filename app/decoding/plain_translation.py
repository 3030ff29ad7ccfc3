"""`translate` and `serving_default` of CTranslate2 with almost no TensorFlow around it.

The graph around a search has some hundreds of operations for tokens, cuts, warnings and joins. CTranslate2 translates a
sentence with a small model in the time that they take, so texts whose sentences are not too long for the model go
through a few lines of Python.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import regex
import tensorflow as tf

from app.decoding.signatures import OF_DEFAULT
from app.decoding.text.leading_tags import TagTables
from app.decoding.text.output_checks import WARNINGS
from app.decoding.text.plain_output_checks import Side, plain_warnings
from app.decoding.text.sentences import (
    Parts,
    is_followed_by_space_outside,
    joined_outside,
    parted_outside,
    stretches_outside,
)
from app.decoding.text.texts import Search
from pipelines.vocabulary.tokenizer import EOS, PAD

_LINE_ENDS = re.compile(r"[\r\n]+")
LOOKED_AT = 2  # hypotheses: the second takes the place of the best if it has fewer warnings


class Found(NamedTuple):
    """What a search finds for B sources: K hypotheses each, best first."""

    tokens: np.ndarray  # int32 [B, K, T], EOS included, then PAD
    scores: np.ndarray  # float32 [B, K], -inf where there is no hypothesis
    log_probabilities: np.ndarray  # float32 [B, K]


class PlainTranslation:
    """Translates texts as the signature `fallback` does, which takes those that are too long.

    Args:
        graph: A translation graph; its `find(sources, search)` returns the fields of `Found`.
        fallback: The signature of the graph.
    """

    def __init__(self, graph: Any, fallback: Callable[..., Mapping[str, tf.Tensor]]) -> None:
        self.graph = graph
        self.fallback = fallback
        self.input_signature: Any = fallback.input_signature  # type: ignore[attr-defined]  # of a tf.function
        self.defaults = Search.of(graph.options)
        self.tags = regex.compile(graph.cutter.tags) if graph.cutter.tags else None

    def __call__(self, texts: tf.Tensor, **settings: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Returns the fields that `signatures_of` describes, each [N], for `texts`, string [N]."""
        of_texts = [self.pieces(text.decode("utf-8", "replace")) for text in texts.numpy()]
        pieces = [piece for of_text in of_texts for piece in of_text]
        sources = self.graph.vocabulary.encode_outside([piece.said for piece in pieces])
        spoken = [behind_tags(ids, self.graph.cut_tables.tags) for ids in sources]
        longest = max(map(len, sources), default=0)
        is_bare_tag = any(ids and not text for ids, text in zip(sources, spoken, strict=True))
        if not sources or longest > self.graph.options.max_source_tokens or is_bare_tag:
            return self.fallback(texts=texts, **settings)
        search = Search(*(value.numpy() for value in self.defaults._replace(**settings)))
        found = Found(*(values[:, :LOOKED_AT] for values in self.graph.find(sources, search)))
        of_pieces = iter(self.chosen(spoken, found))
        whole = [joined_pieces([(piece.kept, next(of_pieces)) for piece in of_text]) for of_text in of_texts]
        return {
            "translations": tf.constant([one.translation for one in whole]),
            "scores": tf.constant([one.score for one in whole], tf.float32),
            "confidences": tf.constant([one.confidence for one in whole], tf.float32),
            "warnings": tf.constant([",".join(one.warnings) for one in whole]),
        }

    def pieces(self, text: str) -> list[Parts]:
        """As `Cutter.cut` has them; those that are too long are whole."""
        found = self.tags and self.tags.match(text)
        tags = found[0] if found else ""
        parts = [parted_outside(stretch.text) for stretch in stretches_outside(text[len(tags) :])]
        return [Parts(kept, tags + said if said else "") for kept, said in parts] or [Parts("", "")]

    def chosen(self, sources: Sequence[Sequence[int]], found: Found) -> list["Chosen"]:
        """The best hypothesis of each source, int32 [L], or the second where that has fewer warnings."""
        hypotheses = [[without_padding(ids) for ids in of_source] for of_source in found.tokens]
        texts = self.graph.vocabulary.decode_outside([*sources, *(ids[:-1] for each in hypotheses for ids in each)])
        of_hypotheses = iter(texts[len(sources) :])
        rows = []
        for row, (source, ids) in enumerate(zip(sources, hypotheses, strict=True)):
            sides = [Side(_LINE_ENDS.sub(" ", next(of_hypotheses)), each) for each in ids]
            rows.append(_best(Side(texts[row], source), sides, found.scores[row], found.log_probabilities[row]))
        return rows


class OnlyTexts:
    """`serving_default`: the translations of texts alone, with their scores.

    Args:
        translate: The signature `translate`.
        fallback: The signature `serving_default` of the graph, which this stands in for.
    """

    def __init__(self, translate: PlainTranslation, fallback: Callable[..., Mapping[str, tf.Tensor]]) -> None:
        self.translate = translate
        self.fallback = fallback
        self.input_signature: Any = fallback.input_signature  # type: ignore[attr-defined]  # of a tf.function

    def __call__(self, texts: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Returns `translations` and `scores`, each [N], for `texts`, string [N]."""
        found = self.translate(texts)
        return {name: found[name] for name in OF_DEFAULT}


class Chosen(NamedTuple):
    """What is told of the translation of a text, or of a piece of it.

    Attributes:
        translation: Its text.
        score: The sum of the pieces'.
        log_probability: Of all tokens.
        tokens: How many there are, those of what is copied not among them.
        warnings: What is suspicious.
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
    """A text's translation from what was kept before each of its pieces, and their translations."""
    text, last = "", ""
    for kept, found in pieces:
        part = joined_outside(kept, found.translation)
        if part:
            text += " " * bool(text and is_followed_by_space_outside(last)) + part
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
    """The best hypothesis of one source; an earlier one where they have as few warnings."""
    tried = []
    for hypothesis, score, log_probability in zip(hypotheses, scores, log_probabilities, strict=True):
        if score > -np.inf:
            warnings = plain_warnings(source, hypothesis)
            names = tuple(name for name, is_found in zip(WARNINGS, warnings, strict=True) if is_found)
            tokens = len(hypothesis.tokens) if source.tokens else 0
            tried.append(Chosen(hypothesis.text, float(score), float(log_probability), tokens, names))
    return min(tried, key=lambda one: len(one.warnings))


def without_padding(ids: np.ndarray) -> list[int]:
    """The tokens of a hypothesis, int32 [T], EOS among them; [EOS] where there is no hypothesis."""
    return ids[ids != PAD].tolist() or [EOS]


def behind_tags(ids: Sequence[int], tables: TagTables) -> Sequence[int]:
    """The tokens of the text behind the tags that it begins with, as `leading_tags.without_tags` has them."""
    end = 0
    for place, token in enumerate(ids):
        if tables.is_tag[token]:
            end = place + 1
        elif not tables.is_space[token]:
            break
    return ids[end:]
