"""`serving_default` of CTranslate2 with almost no TensorFlow around it.

The graph around a search has some hundreds of operations for tokens, cuts, warnings and joins. CTranslate2 translates a
sentence with a small model in the time that they take, so texts that need no cut go through a few lines of Python.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from app.decoding.leading_tags import TagTables
from app.decoding.output_checks import WARNINGS
from app.decoding.plain_output_checks import Side, plain_warnings
from app.decoding.texts import Search
from pipelines.vocabulary import PAD

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
        vocabulary = graph.vocabulary
        texts, ids = tf.TensorSpec([None], tf.string), tf.TensorSpec([None, None], tf.int32)
        self.encode = tf.function(vocabulary.encode, input_signature=[texts], autograph=False)
        self.decode = tf.function(vocabulary.decode, input_signature=[ids], autograph=False)

    def __call__(self, texts: tf.Tensor, **settings: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Returns the fields that `signatures_of` describes, each [N], for `texts`, string [N]."""
        tokens = self.encode(texts)
        splits = tokens.row_splits.numpy()
        lengths = np.diff(splits)
        sources = np.split(tokens.values.numpy(), splits[1:-1])
        spoken = [behind_tags(ids, self.graph.cut_tables.tags) for ids in sources]
        is_bare_tag = any(len(ids) and not len(text) for ids, text in zip(sources, spoken, strict=True))
        if not len(lengths) or lengths.max() > self.graph.options.max_source_tokens or is_bare_tag:
            return self.fallback(texts=texts, **settings)
        search = Search(*(value.numpy() for value in self.defaults._replace(**settings)))
        found = Found(*(values[:, :LOOKED_AT] for values in self.graph.find(sources, search)))
        return self.chosen(spoken, found)

    def chosen(self, sources: Sequence[np.ndarray], found: Found) -> dict[str, tf.Tensor]:
        """The best hypothesis of each source, int32 [L], or the second where that has fewer warnings."""
        hypotheses = [row for of_source in found.tokens for row in of_source]
        of_sources, of_hypotheses = self.spelt(sources, hypotheses)
        each = found.tokens.shape[1]
        rows = []
        for row, source in enumerate(sources):
            spelt = of_hypotheses[row * each : (row + 1) * each]
            own = Side(of_sources[row], source.tolist())
            rows.append(self._best(own, spelt, Found(*(values[row] for values in found))))
        return {
            "translations": tf.constant([best.translation for best in rows]),
            "scores": tf.constant([best.score for best in rows], tf.float32),
            "confidences": tf.constant([best.confidence for best in rows], tf.float32),
            "warnings": tf.constant([",".join(best.warnings) for best in rows]),
        }

    def spelt(self, sources: Sequence[np.ndarray], hypotheses: Sequence[np.ndarray]) -> tuple[list[str], list[str]]:
        """The texts of both, in one call of the vocabulary."""
        rows = [*sources, *hypotheses]
        ids = np.full([len(rows), max(map(len, rows))], PAD, np.int32)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = tokens
        texts = [text.decode("utf-8", "replace") for text in self.decode(ids).numpy()]
        return texts[: len(sources)], texts[len(sources) :]

    @staticmethod
    def _best(source: Side, texts: Sequence[str], found: Found) -> "Chosen":
        """The best hypothesis of one source; an earlier one where they have as few warnings."""
        tried = []
        for text, tokens, score, log_probability in zip(texts, *found, strict=True):
            if score == -np.inf:
                continue
            ids = tokens[tokens != PAD].tolist()
            line = _LINE_ENDS.sub(" ", text)  # spelt in bytes; but it is a line
            warnings = plain_warnings(source, Side(line, ids))
            names = tuple(name for name, is_found in zip(WARNINGS, warnings, strict=True) if is_found)
            tried.append(Chosen(line, float(score), float(np.exp(log_probability / len(ids))), names))
        return min(tried, key=lambda one: len(one.warnings))


class Chosen(NamedTuple):
    """What is told of a text's translation."""

    translation: str
    score: float
    confidence: float
    warnings: tuple[str, ...]


def behind_tags(ids: np.ndarray, tables: TagTables) -> np.ndarray:
    """The tokens of the text behind the tags that it begins with, as `leading_tags.without_tags` has them."""
    end = 0
    for place, token in enumerate(ids.tolist()):
        if tables.is_tag[token]:
            end = place + 1
        elif not tables.is_space[token]:
            break
    return ids[end:]
