"""A tiny model of random weights, and what its signatures show for one sentence."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.signatures import Signatures
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.layers import Transformer, TransformerConfig
from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary
from tests.app.decoding.fakes import small_vocabulary

OPTIONS = DecodingOptions(beam_size=3, max_source_tokens=100, max_extra_tokens=40)
TEXT = "A dog barks at night."
LAYERS, HEADS, WIDTH, INNER = 2, 3, 12, 20

Found = dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """A graph with its traced signatures, and what `inside` returned for `TEXT`, as NumPy arrays."""

    graph: TranslationGraph
    signatures: Signatures
    overview: Found

    @property
    def model(self) -> Any:
        return self.graph.transformer

    def inside(self, text: str) -> Found:
        return arrays(self.signatures["inside"](text=tf.constant(text)))

    def layer(self, **numbers: int) -> Found:
        """Returns the details of a layer for the tokens of the overview."""
        ids = {name: tf.constant(self.overview[name]) for name in ("source_ids", "target_ids")}
        return arrays(self.signatures["inside_layer"](**ids, **{key: tf.constant(n) for key, n in numbers.items()}))


def arrays(found: Any) -> Found:
    return {name: values.numpy() for name, values in found.items()}


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return small_vocabulary()


def graph_of(vocabulary: Vocabulary, **settings: Any) -> TranslationGraph:
    """Returns a graph with a model of random weights, of which none is 0 or 1."""
    dtype = settings.pop("dtype", "float32")
    sizes = {"model_width": WIDTH, "inner_width": INNER, "heads": HEADS}
    layers = {"encoder_layers": LAYERS, "decoder_layers": LAYERS}
    transformer = Transformer(TransformerConfig(vocabulary.size, **sizes, **layers, **settings), dtype=dtype)
    generator = np.random.default_rng(5)
    for weight in transformer.weights:
        values = generator.normal(scale=weight.shape[0] ** -0.5, size=weight.shape)
        weight.assign(keras.ops.cast(values + 1 if weight.name == "gamma" else values, weight.dtype))
    return TranslationGraph(transformer, vocabulary, OPTIONS)


def shown(graph: TranslationGraph) -> Shown:
    signatures = graph.inside_signatures()
    return Shown(graph, signatures, arrays(signatures["inside"](text=tf.constant(TEXT))))


@pytest.fixture(scope="session")
def pre(vocabulary: Vocabulary) -> Shown:
    """With the normalisation before each sublayer, and biases everywhere."""
    return shown(graph_of(vocabulary, normalization="pre", attention_bias=True, logits_bias=True))
