"""The record of a forward pass: it is the forward pass, and each tensor follows from the equations of the paper."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from keras_nmt.layers import LanguageModel, Transformer
from keras_nmt.layers.config import Normalization
from keras_nmt.layers.inspection import LayerRecord
from keras_nmt.layers.masks import causal_mask
from keras_nmt.layers.sublayers.attention import AttentionContext, SourceContext
from tests.layers.samples import (
    BATCH,
    CONFIG,
    HEADS,
    INNER,
    SOURCE,
    TARGET,
    assert_close,
    built,
    numpy,
    padded_ids,
    token_ids,
)
from tests.oracles import transformer as oracle

SOURCE_IDS, TARGET_IDS = padded_ids(BATCH, SOURCE), token_ids(BATCH, TARGET, seed=1)
CAUSAL = AttentionContext(causal_mask(TARGET))
both_normalizations = pytest.mark.parametrize("normalization", ["post", "pre"])


@pytest.mark.parametrize(
    "changes",
    [
        {"normalization": "post"},
        {"normalization": "pre", "activation": "swish", "attention_bias": True, "logits_bias": True},
        {"word_token": 9, "word_tags": 2},
        {"copying": True},
    ],
)
def test_a_record_is_the_forward_pass_itself(changes: dict[str, Any]) -> None:
    model = built(Transformer(replace(CONFIG, **changes)))
    record = model.record(SOURCE_IDS, TARGET_IDS)
    expected = model({"source": SOURCE_IDS, "target": TARGET_IDS}, training=False)
    np.testing.assert_array_equal(numpy(record.logits), numpy(expected))
    memory, _ = model.encode(SOURCE_IDS)
    np.testing.assert_array_equal(numpy(record.memory), numpy(memory))
    assert (len(record.encoder), len(record.decoder)) == (CONFIG.encoder_layers, CONFIG.decoder_layers)


def test_a_record_of_a_language_model_has_no_encoder() -> None:
    model = built(LanguageModel(replace(CONFIG, encoder_layers=0)))
    record = model.record(TARGET_IDS)
    np.testing.assert_array_equal(numpy(record.logits), numpy(model.decode(TARGET_IDS)))
    assert (record.encoder, record.memory) == ((), ())
    assert [(len(layer.sublayers), len(layer.attentions)) for layer in record.decoder] == [(2, 1)] * 3


@both_normalizations
def test_each_layer_of_a_record_gives_the_input_of_the_next(normalization: Normalization) -> None:
    model = built(Transformer(replace(CONFIG, normalization=normalization)))
    record = model.record(SOURCE_IDS, TARGET_IDS)
    memory, may_attend = model.encode(SOURCE_IDS)
    x = model.embed(TARGET_IDS)
    for block, layer in zip(model.decoder.blocks, record.decoder, strict=True):
        np.testing.assert_array_equal(numpy(layer.sublayers[0].before), numpy(x))
        x = block(x, context=CAUSAL, source=SourceContext(block.cross_attention.keys_values(memory), may_attend))
        np.testing.assert_array_equal(numpy(layer.sublayers[-1].after), numpy(x))


@both_normalizations
def test_the_steps_of_a_residual_connection_follow_from_each_other(normalization: Normalization) -> None:
    model = built(Transformer(replace(CONFIG, normalization=normalization)))
    for block, layer in zip(model.decoder.blocks, model.record(SOURCE_IDS, TARGET_IDS).decoder, strict=True):
        for residual, steps in zip(block.residuals, layer.sublayers, strict=True):
            before, read, added, after = (numpy(values).astype(float) for values in steps)
            norm = oracle.Norm(numpy(residual.norm.gamma), numpy(residual.norm.beta))
            if normalization == "pre":
                assert_close(read, oracle.layer_norm(before, norm))
                assert_close(after, before + added)
            else:
                assert_close(read, before)
                assert_close(after, oracle.layer_norm(before + added, norm))


@pytest.mark.parametrize("bias", [False, True])
def test_the_outputs_of_all_heads_and_the_bias_are_the_output_of_an_attention(bias: bool) -> None:
    model = built(Transformer(replace(CONFIG, attention_bias=bias)))
    for block, layer in zip(model.decoder.blocks, model.record(SOURCE_IDS, TARGET_IDS).decoder, strict=True):
        for number, name in enumerate(("self_attention", "cross_attention")):
            attention = layer.attentions[number]
            total: Any = 0.0
            for head in range(HEADS):
                weights = getattr(block, name).of_head(head)
                total = total + numpy(attention.mixed)[:, head] @ numpy(weights.output_matrix)
            assert_close(layer.sublayers[number].added, total + numpy(weights.output_bias))
            assert bool(np.any(numpy(weights.output_bias))) is bias


@pytest.mark.parametrize("bias", [False, True])
def test_queries_keys_and_values_are_what_an_attention_reads_times_the_matrices_of_a_head(bias: bool) -> None:
    model = built(Transformer(replace(CONFIG, attention_bias=bias)))
    record = model.record(SOURCE_IDS, TARGET_IDS)
    block, layer = model.decoder.blocks[1], record.decoder[1]
    for number, (name, keys) in enumerate(
        {"self_attention": layer.sublayers[0].read, "cross_attention": record.memory}.items()
    ):
        query, key, value, weights, mixed = (numpy(values) for values in layer.attentions[number])
        sides = {"query": (query, layer.sublayers[number].read), "key": (key, keys), "value": (value, keys)}
        for head in range(HEADS):
            own = getattr(block, name).of_head(head)._asdict()
            for side, (found, read) in sides.items():
                assert_close(found[:, head], numpy(read) @ numpy(own[f"{side}_matrix"]) + numpy(own[f"{side}_bias"]))
        assert_close(mixed, weights @ value)


def test_the_inner_units_are_those_of_equation_2() -> None:
    model = built(Transformer(CONFIG))
    layer: LayerRecord = model.record(SOURCE_IDS, TARGET_IDS).encoder[1]
    named = oracle.below(oracle.named_weights(model), "encoder/layer_1/feed_forward")
    weights = oracle.feed_forward_weights(named)
    inner = np.maximum(0, numpy(layer.sublayers[-1].read) @ weights.w1 + weights.b1)
    assert_close(layer.inner_units, inner)
    assert layer.inner_units.shape == (BATCH, SOURCE, INNER)
