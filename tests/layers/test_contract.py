"""The contract of every layer and the model: serialisation, precision, gradients, dropout. Each is a row of `CASES`."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.layers import LanguageModel, Transformer
from keras_nmt.layers.decoder import Decoder, DecoderLayer
from keras_nmt.layers.encoder import Encoder, EncoderLayer
from keras_nmt.layers.masks import causal_mask, padding_mask
from keras_nmt.layers.positions import PositionalEncoding
from keras_nmt.layers.sublayers.attention import (
    AttentionContext,
    CrossAttention,
    ScaledDotProductAttention,
    SelfAttention,
    SourceContext,
)
from keras_nmt.layers.sublayers.dropout import Dropout
from keras_nmt.layers.sublayers.embedding import SharedEmbedding
from keras_nmt.layers.sublayers.feed_forward import FeedForward
from keras_nmt.layers.sublayers.residual import Residual
from keras_nmt.layers.sublayers.word_pointer import WordPointer
from tests.layers.samples import (
    BATCH,
    CONFIG,
    HEAD_WIDTH,
    HEADS,
    INNER,
    SOURCE,
    TARGET,
    VOCABULARY,
    WIDTH,
    Array,
    assert_close,
    normal,
    numpy,
    padded_ids,
    randomise,
    token_ids,
)

Tensors = Mapping[str, Any]

POLICIES = ["float32", "mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)]
SHALLOW = replace(CONFIG, encoder_layers=2, decoder_layers=1)
MARIAN = {"activation": "swish", "attention_bias": True, "logits_bias": True, "normalization_epsilon": 1e-5}
WORD = 18  # occurs in both "source" and "target"
INPUTS = {
    "x": normal(BATCH, TARGET, WIDTH, seed=1),
    "memory": normal(BATCH, SOURCE, WIDTH, seed=2),
    "query": normal(BATCH, HEADS, TARGET, HEAD_WIDTH, seed=3),
    "key": normal(BATCH, HEADS, SOURCE, HEAD_WIDTH, seed=4),
    "value": normal(BATCH, HEADS, SOURCE, HEAD_WIDTH, seed=5),
    "source": padded_ids(BATCH, SOURCE, seed=6),
    "target": token_ids(BATCH, TARGET, seed=7),
    "source_segments": np.where(padded_ids(BATCH, SOURCE, seed=6), np.arange(SOURCE) // 6 + 1, 0).astype("int32"),
    "target_segments": np.tile(np.arange(TARGET) // 3 + 1, (BATCH, 1)).astype("int32"),
}


@dataclass(frozen=True)
class Case:
    """How to make a layer, given a dropout rate and keyword arguments, and how to call it."""

    make: Callable[..., keras.layers.Layer]
    call: Callable[[Any, Tensors, bool], Any]
    drops: bool = True


def configured(layer: type[keras.layers.Layer], **changes: Any) -> Callable[..., keras.layers.Layer]:
    """Returns a maker of the layer, with one rate for all three kinds of dropout."""

    def make(dropout: float, **kwargs: Any) -> keras.layers.Layer:
        config = replace(SHALLOW, residual_dropout=dropout, attention_dropout=dropout, inner_dropout=dropout, **changes)
        return layer(config, **kwargs)

    return make


def causal(x: Any) -> AttentionContext:
    return AttentionContext(causal_mask(keras.ops.shape(x)[1]))


def source_context(layer: CrossAttention, tensors: Tensors) -> SourceContext:
    memory = keras.ops.cast(tensors["memory"], layer.compute_dtype)
    return SourceContext(layer.keys_values(memory), padding_mask(tensors["source"]))


def call_scaled_dot_product_attention(layer: Any, tensors: Tensors, training: bool) -> Any:
    may_attend = padding_mask(tensors["source"])
    return layer(tensors["query"], tensors["key"], tensors["value"], may_attend=may_attend, training=training)


def call_self_attention(layer: Any, tensors: Tensors, training: bool) -> Any:
    return layer(tensors["x"], context=causal(tensors["x"]), training=training)


def call_cross_attention(layer: Any, tensors: Tensors, training: bool) -> Any:
    return layer(tensors["x"], source=source_context(layer, tensors), training=training)


def call_residual(layer: Any, tensors: Tensors, training: bool) -> Any:
    return layer(tensors["x"], sublayer=keras.ops.sin, training=training)


def call_encoder(layer: Any, tensors: Tensors, training: bool) -> Any:
    context = AttentionContext(padding_mask(tensors["source"]))
    return layer(tensors["memory"], context=context, training=training)


def call_decoder_layer(layer: Any, tensors: Tensors, training: bool) -> Any:
    source = source_context(layer.cross_attention, tensors)
    return layer(tensors["x"], context=causal(tensors["x"]), source=source, training=training)


def call_decoder(layer: Any, tensors: Tensors, training: bool) -> Any:
    contexts = [causal(tensors["x"])] * len(layer.blocks)
    sources = [source_context(block.cross_attention, tensors) for block in layer.blocks]
    return layer(tensors["x"], contexts=contexts, sources=sources, training=training)


def call_transformer(layer: Any, tensors: Tensors, training: bool) -> Any:
    return layer({"source": tensors["source"], "target": tensors["target"]}, training=training)


def call_word_pointer(layer: Any, tensors: Tensors, training: bool) -> Any:
    words = layer.memory(tensors["source"], keras.ops.cast(tensors["memory"], layer.compute_dtype))
    return layer(layer.words_read(tensors["target"]), words=words, may_tell=padding_mask(tensors["source"]))


def call_packed_transformer(layer: Any, tensors: Tensors, training: bool) -> Any:
    ids = {"source": tensors["source"], "target": tensors["target"]}
    segments = {"source_segments": tensors["source_segments"], "target_segments": tensors["target_segments"]}
    return layer({**ids, **segments}, training=training)


def call_language_model(layer: Any, tensors: Tensors, training: bool) -> Any:
    return layer({"target": tensors["target"]}, training=training)


def call_packed_language_model(layer: Any, tensors: Tensors, training: bool) -> Any:
    return layer({name: tensors[name] for name in ("target", "target_segments")}, training=training)


def call_decoder_without_source(layer: Any, tensors: Tensors, training: bool) -> Any:
    if isinstance(layer, DecoderLayer):
        return layer(tensors["x"], context=causal(tensors["x"]), training=training)
    return layer(tensors["x"], contexts=[causal(tensors["x"])] * len(layer.blocks), training=training)


def make_residual(normalization: str) -> Callable[..., Residual]:
    return lambda dropout, **kwargs: Residual(normalization, dropout, **kwargs)


CASES = {
    "Dropout": Case(
        Dropout,
        lambda layer, tensors, training: layer(tensors["x"], training=training),
    ),
    "PositionalEncoding": Case(
        lambda dropout, **kwargs: PositionalEncoding(**kwargs),
        lambda layer, tensors, training: layer(tensors["x"]),
        drops=False,
    ),
    "SharedEmbedding": Case(
        lambda dropout, **kwargs: SharedEmbedding(VOCABULARY, WIDTH, **kwargs),
        lambda layer, tensors, training: layer(tensors["target"]),
        drops=False,
    ),
    "SharedEmbedding.logits": Case(
        lambda dropout, **kwargs: SharedEmbedding(VOCABULARY, WIDTH, **kwargs),
        lambda layer, tensors, training: layer.logits(keras.ops.cast(tensors["x"], layer.compute_dtype)),
        drops=False,
    ),
    "SharedEmbedding.logits, bias": Case(
        lambda dropout, **kwargs: SharedEmbedding(VOCABULARY, WIDTH, use_bias=True, **kwargs),
        lambda layer, tensors, training: layer.logits(keras.ops.cast(tensors["x"], layer.compute_dtype)),
        drops=False,
    ),
    "ScaledDotProductAttention": Case(ScaledDotProductAttention, call_scaled_dot_product_attention),
    "SelfAttention": Case(lambda dropout, **kwargs: SelfAttention(HEADS, dropout, **kwargs), call_self_attention),
    "CrossAttention": Case(lambda dropout, **kwargs: CrossAttention(HEADS, dropout, **kwargs), call_cross_attention),
    "FeedForward": Case(
        lambda dropout, **kwargs: FeedForward(INNER, dropout, **kwargs),
        lambda layer, tensors, training: layer(tensors["x"], training=training),
    ),
    "Residual": Case(make_residual("post"), call_residual),
    "Residual, pre": Case(make_residual("pre"), call_residual),
    "EncoderLayer": Case(configured(EncoderLayer), call_encoder),
    "DecoderLayer": Case(configured(DecoderLayer), call_decoder_layer),
    "Encoder": Case(configured(Encoder), call_encoder),
    "Decoder": Case(configured(Decoder), call_decoder),
    "DecoderLayer, no encoder": Case(configured(DecoderLayer, encoder_layers=0), call_decoder_without_source),
    "Decoder, no encoder": Case(
        configured(Decoder, encoder_layers=0, normalization="pre"), call_decoder_without_source
    ),
    "LanguageModel": Case(configured(LanguageModel, encoder_layers=0), call_language_model),
    "LanguageModel, packed": Case(
        configured(LanguageModel, encoder_layers=0, normalization="pre"), call_packed_language_model
    ),
    "Transformer": Case(configured(Transformer), call_transformer),
    "Transformer, pre": Case(configured(Transformer, normalization="pre"), call_transformer),
    "Transformer, packed": Case(configured(Transformer), call_packed_transformer),
    "WordPointer": Case(lambda dropout, **kwargs: WordPointer(WORD, **kwargs), call_word_pointer, drops=False),
    "Transformer, told words": Case(configured(Transformer, word_token=WORD), call_transformer),
    "Transformer, packed, told words": Case(configured(Transformer, word_token=WORD), call_packed_transformer),
    "Transformer, copying": Case(configured(Transformer, copying=True), call_transformer),
    "Transformer, packed, copying": Case(configured(Transformer, copying=True), call_packed_transformer),
    "Transformer, as Marian's": Case(configured(Transformer, **MARIAN), call_transformer),
}


def of(names: Iterable[str]) -> pytest.MarkDecorator:
    """Runs a test for these layers. Packed rows are slow; other tests compare them with separate rows."""
    slow = {True: [pytest.mark.slow], False: []}
    return pytest.mark.parametrize("name", [pytest.param(name, marks=slow["packed" in name]) for name in names])


WEIGHTLESS = ("Dropout", "PositionalEncoding", "ScaledDotProductAttention")
every_layer = of(CASES)
every_layer_that_drops = of(name for name, case in CASES.items() if case.drops)
every_layer_with_weights = of(name for name in CASES if name not in WEIGHTLESS)
every_policy = pytest.mark.parametrize("policy", POLICIES)


@cache
def built_case(name: str, dropout: float = 0.0, dtype: str = "float32") -> Any:
    """Returns a layer with random weights; tests share it and do not change it."""
    layer = CASES[name].make(dropout, dtype=dtype)
    build(layer)
    randomise(layer)
    return layer


def build(layer: keras.layers.Layer) -> None:
    """Creates the weights of a layer that has any."""
    if not isinstance(layer, ScaledDotProductAttention):
        layer.build((None, None, WIDTH))


def output(name: str, layer: Any, training: bool = False) -> Any:
    return CASES[name].call(layer, INPUTS, training)


@cache
def exact_output(name: str) -> Array:
    """Returns the output of the layer in float32 without dropout."""
    return numpy(output(name, built_case(name)))


@keras.saving.register_keras_serializable(package="nmt_tests")
class Host(keras.Model):
    """A model with one layer, so that any layer can be saved in the `.keras` format."""

    def __init__(self, layer: keras.layers.Layer, case: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layer = layer
        self.case = case

    def call(self, inputs: Tensors) -> Any:
        return CASES[self.case].call(self.layer, inputs, False)

    def build(self, input_shape: Any = None) -> None:
        if not self.layer.built:
            build(self.layer)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer": keras.layers.serialize(self.layer), "case": self.case}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Host":
        return cls(**{**config, "layer": keras.layers.deserialize(config["layer"])})


@every_layer
def test_a_config_makes_the_same_layer_again(name: str) -> None:
    layer = CASES[name].make(0.25, dtype="mixed_bfloat16", name="its_name")
    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert copy.name == "its_name"
    assert copy.dtype_policy.name == "mixed_bfloat16"


@every_layer
def test_a_layer_survives_serialization_as_json(name: str) -> None:
    layer = CASES[name].make(0.25)
    copy = keras.layers.deserialize(json.loads(json.dumps(keras.layers.serialize(layer))))
    assert type(copy) is type(layer)
    assert copy.get_config() == layer.get_config()


@pytest.mark.parametrize("name", ["EncoderLayer", "DecoderLayer", "Encoder", "Decoder", "Transformer", "LanguageModel"])
def test_changing_the_dictionary_from_get_config_does_not_change_the_layer(name: str) -> None:
    layer = CASES[name].make(0.25)
    layer.get_config()["config"]["heads"] = None
    assert layer.get_config()["config"]["heads"] == HEADS


@every_layer
def test_a_saved_model_of_the_layer_gives_equal_outputs(name: str, tmp_path: Path) -> None:
    host = Host(built_case(name, dropout=0.25), name)
    before = numpy(host(INPUTS))
    host.save(tmp_path / "host.keras")
    after = keras.saving.load_model(tmp_path / "host.keras")(INPUTS)
    np.testing.assert_array_equal(numpy(after), before)


@every_layer_with_weights
def test_saved_weights_load_into_a_fresh_layer(name: str, tmp_path: Path) -> None:
    host = Host(built_case(name), name)
    before = numpy(host(INPUTS))
    host.save_weights(tmp_path / "host.weights.h5")
    fresh = Host(CASES[name].make(0.0), name)
    fresh.build()
    assert np.abs(numpy(fresh(INPUTS)) - before).max() > 1e-3
    fresh.load_weights(tmp_path / "host.weights.h5")
    np.testing.assert_array_equal(numpy(fresh(INPUTS)), before)


@every_layer_with_weights
def test_every_weight_has_a_path_of_its_own(name: str) -> None:
    paths = [weight.path for weight in built_case(name).weights]
    assert len(paths) == len(set(paths)) > 0


@every_layer
@every_policy
def test_weights_are_float32_and_outputs_in_the_compute_dtype_are_close_to_float32(name: str, policy: str) -> None:
    layer = built_case(name, dtype=policy)
    result = output(name, layer)
    assert {weight.dtype for weight in layer.weights} <= {"float32"}
    expected_dtype = "float32" if "copying" in name else layer.compute_dtype  # log-probabilities stay in float32
    assert layer.compute_dtype == policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(result.dtype) == expected_dtype
    assert np.isfinite(numpy(result)).all()
    assert_close(result, exact_output(name), tolerance=1e-6 if policy == "float32" else 0.15)


@every_layer_with_weights
@every_policy
def test_gradient_reaches_every_trainable_weight(name: str, policy: str) -> None:
    layer = built_case(name, dtype=policy)
    with tf.GradientTape() as tape:
        result = keras.ops.cast(output(name, layer, training=True), "float32")
        loss = keras.ops.sum(result * normal(*result.shape, seed=11))
    weights = layer.trainable_weights
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    assert len(weights) == len(layer.weights) > 0
    unreached = [
        weight.path
        for weight, gradient in zip(weights, gradients, strict=True)
        if gradient is None or not 0 < np.abs(numpy(tf.convert_to_tensor(gradient))).max() < np.inf
    ]
    assert unreached == []


@every_layer
def test_training_without_dropout_equals_inference(name: str) -> None:
    layer = built_case(name)
    np.testing.assert_array_equal(numpy(output(name, layer, training=True)), exact_output(name))


@every_layer_that_drops
def test_dropout_is_active_only_in_training(name: str) -> None:
    layer = built_case(name, dropout=0.5)
    first, second = (numpy(output(name, layer, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-2
    np.testing.assert_array_equal(numpy(output(name, layer)), exact_output(name))


def test_the_same_seed_drops_the_same_values() -> None:
    def trained() -> Array:
        keras.utils.set_random_seed(13)
        layer = CASES["Transformer"].make(0.5)
        return numpy(output("Transformer", layer, training=True))

    np.testing.assert_array_equal(trained(), trained())


@every_layer
def test_a_layer_traced_for_unknown_lengths_gives_the_same_output(name: str) -> None:
    layer = built_case(name)
    unknown = {BATCH, SOURCE, TARGET}
    signature = {
        key: tf.TensorSpec([None if size in unknown else size for size in value.shape], value.dtype)
        for key, value in INPUTS.items()
    }
    traced = tf.function(
        lambda tensors: CASES[name].call(layer, tensors, False), input_signature=[signature], autograph=False
    )
    assert_close(traced(INPUTS), exact_output(name))
