"""The output of every layer against the NumPy Transformer."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_nmt.layers import Transformer, inspection
from keras_nmt.layers.config import Normalization
from keras_nmt.layers.decoder import Decoder, DecoderLayer
from keras_nmt.layers.encoder import Encoder, EncoderLayer
from keras_nmt.layers.masks import causal_mask, padding_mask
from keras_nmt.layers.positions import PositionalEncoding, sinusoids
from keras_nmt.layers.sublayers.attention import (
    AttentionContext,
    CrossAttention,
    ScaledDotProductAttention,
    SelfAttention,
    SourceContext,
)
from keras_nmt.layers.sublayers.embedding import SharedEmbedding
from keras_nmt.layers.sublayers.feed_forward import FeedForward
from keras_nmt.layers.sublayers.residual import Residual
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
    assert_close,
    built,
    normal,
    numpy,
    padded_ids,
    token_ids,
)
from tests.oracles import transformer as oracle

SOURCE_IDS = padded_ids(BATCH, SOURCE)
PADDED = AttentionContext(padding_mask(SOURCE_IDS))
CAUSAL = AttentionContext(causal_mask(TARGET))
both_normalizations = pytest.mark.parametrize("normalization", ["post", "pre"])


def test_the_padding_mask_allows_only_real_tokens() -> None:
    mask = padding_mask(np.array([[3, 4, 0], [5, 0, 0]]))
    np.testing.assert_array_equal(mask, [[[[True, True, False]]], [[[True, False, False]]]])


def test_the_causal_mask_allows_a_position_itself_and_earlier_ones() -> None:
    np.testing.assert_array_equal(causal_mask(3)[0, 0], np.tril(np.ones((3, 3), bool)))


def test_sinusoids_follow_section_3_5() -> None:
    positions = np.array([0, 1, 2, 3, 31])
    assert_close(sinusoids(positions, WIDTH), oracle.sinusoids(positions, WIDTH))


def test_the_positional_encoding_adds_the_sinusoids() -> None:
    x = normal(BATCH, TARGET, WIDTH)
    assert_close(PositionalEncoding()(x), x + oracle.sinusoids(range(TARGET), WIDTH))


def test_the_positional_encoding_takes_any_positions() -> None:
    x, positions = normal(BATCH, TARGET, WIDTH), np.array([7, 13, 13, 0, 2, 90, 5])[:TARGET]
    assert_close(PositionalEncoding()(x, positions=positions), x + oracle.sinusoids(positions, WIDTH))


def test_the_shared_embedding_multiplies_rows_by_the_root_of_the_width() -> None:
    layer = built(SharedEmbedding(VOCABULARY, WIDTH))
    ids = token_ids(BATCH, TARGET)
    table = oracle.named_weights(layer)["embeddings"]
    assert_close(layer(ids), oracle.embed(ids, table))


def test_the_shared_embedding_scores_pieces_with_the_same_matrix() -> None:
    layer = built(SharedEmbedding(VOCABULARY, WIDTH))
    x = normal(BATCH, TARGET, WIDTH)
    assert_close(layer.logits(x), oracle.project(x, oracle.named_weights(layer)["embeddings"]))


def test_the_shared_embedding_scores_positions_without_a_batch_axis() -> None:
    layer = built(SharedEmbedding(VOCABULARY, WIDTH))
    x = normal(TARGET, WIDTH)
    assert_close(layer.logits(x), oracle.project(x, oracle.named_weights(layer)["embeddings"]))


def test_a_bias_is_added_to_the_logits_and_not_to_the_embeddings() -> None:
    layer = built(SharedEmbedding(VOCABULARY, WIDTH, use_bias=True))
    x, ids, named = normal(BATCH, TARGET, WIDTH), token_ids(BATCH, TARGET), oracle.named_weights(layer)
    assert_close(layer.logits(x), oracle.project(x, named["embeddings"]) + named["bias"])
    assert_close(layer(ids), oracle.embed(ids, named["embeddings"]))


@pytest.mark.parametrize("normalization", ["post", "pre"])
def test_every_normalisation_has_the_epsilon_of_the_configuration(normalization: str) -> None:
    model = built(Transformer(replace(CONFIG, normalization=normalization, normalization_epsilon=0.125)))
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.LayerNormalization)]
    expected = 2 * CONFIG.encoder_layers + 3 * CONFIG.decoder_layers + (2 if normalization == "pre" else 0)
    assert [layer.epsilon for layer in norms] == [0.125] * expected


def test_scaled_initial_embeddings_have_unit_variance() -> None:
    layer = SharedEmbedding(1009, 31)
    scaled = numpy(layer(np.arange(1009)[None]))
    assert abs(scaled.std() - 1) < 0.02
    assert abs(scaled.mean()) < 0.02


def test_scaled_dot_product_attention_is_equation_1() -> None:
    query = normal(BATCH, HEADS, TARGET, HEAD_WIDTH, seed=1)
    key = normal(BATCH, HEADS, SOURCE, HEAD_WIDTH, seed=2)
    value = normal(BATCH, HEADS, SOURCE, HEAD_WIDTH, seed=3)
    may_attend = oracle.padding_mask(SOURCE_IDS)[:, None]
    expected = oracle.scaled_dot_product_attention(query, key, value, may_attend)
    assert_close(ScaledDotProductAttention()(query, key, value, may_attend=may_attend), expected)


def test_a_query_that_may_attend_to_nothing_gets_the_mean_of_the_values() -> None:
    query = normal(BATCH, HEADS, TARGET, HEAD_WIDTH, seed=1)
    key = normal(BATCH, HEADS, SOURCE, HEAD_WIDTH, seed=2)
    value = normal(BATCH, HEADS, SOURCE, HEAD_WIDTH, seed=3)
    nothing = np.zeros((BATCH, 1, 1, SOURCE), dtype=bool)
    expected = np.broadcast_to(value.mean(-2, keepdims=True), query.shape)
    assert_close(ScaledDotProductAttention()(query, key, value, may_attend=nothing), expected)


def test_self_attention_over_padded_sources_equals_the_oracle() -> None:
    layer = built(SelfAttention(HEADS))
    x = normal(BATCH, SOURCE, WIDTH)
    weights = oracle.self_attention_weights(oracle.named_weights(layer), HEADS)
    expected = oracle.multi_head_attention(x, x, weights, oracle.padding_mask(SOURCE_IDS))
    assert_close(layer(x, context=PADDED), expected)


def test_causal_self_attention_equals_the_oracle() -> None:
    layer = built(SelfAttention(HEADS))
    x = normal(BATCH, TARGET, WIDTH)
    weights = oracle.self_attention_weights(oracle.named_weights(layer), HEADS)
    expected = oracle.multi_head_attention(x, x, weights, oracle.causal_mask(TARGET))
    assert_close(layer(x, context=CAUSAL), expected)


def test_cross_attention_equals_the_oracle() -> None:
    layer = built(CrossAttention(HEADS))
    x, memory = normal(BATCH, TARGET, WIDTH, seed=1), normal(BATCH, SOURCE, WIDTH, seed=2)
    weights = oracle.cross_attention_weights(oracle.named_weights(layer), HEADS)
    expected = oracle.multi_head_attention(x, memory, weights, oracle.padding_mask(SOURCE_IDS))
    source = SourceContext(layer.keys_values(memory), padding_mask(SOURCE_IDS))
    assert_close(layer(x, source=source), expected)


def test_the_output_of_cross_attention_is_its_values_mixed_by_its_weights() -> None:
    layer = built(CrossAttention(HEADS))
    x, memory = normal(BATCH, TARGET, WIDTH, seed=1), normal(BATCH, SOURCE, WIDTH, seed=2)
    source = SourceContext(layer.keys_values(memory), padding_mask(SOURCE_IDS))
    weights = layer.steps(x, source).weights
    mixed = layer.out_of_heads(layer.output_projection, keras.ops.matmul(weights, source.keys_values.values))
    assert_close(layer(x, source=source), numpy(mixed))


def test_feed_forward_is_equation_2() -> None:
    layer = built(FeedForward(INNER))
    x = normal(BATCH, TARGET, WIDTH)
    weights = oracle.feed_forward_weights(oracle.named_weights(layer))
    assert_close(layer(x), oracle.feed_forward(x, weights))


@both_normalizations
def test_a_residual_connection_normalises_before_or_after_the_sublayer(normalization: str) -> None:
    layer = built(Residual(normalization))
    x = normal(BATCH, TARGET, WIDTH)
    norm = oracle.norm_weights(oracle.below(oracle.named_weights(layer), "norm"))
    assert_close(layer(x, sublayer=keras.ops.sin), oracle.residual(x, np.sin, norm, normalization))


@both_normalizations
def test_an_encoder_layer_equals_the_oracle(normalization: str) -> None:
    layer = built(EncoderLayer(replace(CONFIG, normalization=normalization)))
    x = normal(BATCH, SOURCE, WIDTH)
    weights = oracle.encoder_layer_weights(oracle.named_weights(layer), HEADS)
    expected = oracle.encoder_layer(x, weights, oracle.padding_mask(SOURCE_IDS), normalization)
    assert_close(layer(x, context=PADDED), expected)


@both_normalizations
def test_a_decoder_layer_equals_the_oracle(normalization: str) -> None:
    layer = built(DecoderLayer(replace(CONFIG, normalization=normalization)))
    x, memory = normal(BATCH, TARGET, WIDTH, seed=1), normal(BATCH, SOURCE, WIDTH, seed=2)
    weights = oracle.decoder_layer_weights(oracle.named_weights(layer), HEADS)
    expected = oracle.decoder_layer(x, memory, weights, oracle.padding_mask(SOURCE_IDS), normalization)
    source = SourceContext(layer.cross_attention.keys_values(memory), padding_mask(SOURCE_IDS))
    assert_close(layer(x, context=CAUSAL, source=source), expected)


@both_normalizations
def test_the_encoder_equals_the_oracle(normalization: str) -> None:
    layer = built(Encoder(replace(CONFIG, normalization=normalization)))
    x = normal(BATCH, SOURCE, WIDTH)
    stack = oracle.stack_weights(oracle.named_weights(layer), HEADS, oracle.encoder_layer_weights)
    assert len(stack.layers) == CONFIG.encoder_layers
    assert stack.normalization == normalization
    expected = oracle.encoder(x, stack, oracle.padding_mask(SOURCE_IDS))
    assert_close(layer(x, context=PADDED), expected)


@both_normalizations
def test_the_decoder_equals_the_oracle(normalization: str) -> None:
    layer = built(Decoder(replace(CONFIG, normalization=normalization)))
    x, memory = normal(BATCH, TARGET, WIDTH, seed=1), normal(BATCH, SOURCE, WIDTH, seed=2)
    stack = oracle.stack_weights(oracle.named_weights(layer), HEADS, oracle.decoder_layer_weights)
    assert len(stack.layers) == CONFIG.decoder_layers
    assert stack.normalization == normalization
    expected = oracle.decoder(x, memory, stack, oracle.padding_mask(SOURCE_IDS))
    sources = [SourceContext(own, padding_mask(SOURCE_IDS)) for own in layer.keys_values(memory)]
    assert_close(layer(x, contexts=[CAUSAL] * len(sources), sources=sources), expected)


@both_normalizations
@pytest.mark.parametrize(("encoder_layers", "decoder_layers"), [(2, 3), (3, 1)])
def test_the_transformer_equals_the_oracle(normalization: str, encoder_layers: int, decoder_layers: int) -> None:
    config = replace(CONFIG, normalization=normalization, encoder_layers=encoder_layers, decoder_layers=decoder_layers)
    model = built(Transformer(config))
    target = padded_ids(BATCH, TARGET, seed=1)
    weights = oracle.transformer_weights(oracle.named_weights(model), HEADS)
    expected = oracle.transformer(SOURCE_IDS, target, weights)
    assert_close(model({"source": SOURCE_IDS, "target": target}), expected)


def test_projected_states_are_the_logits() -> None:
    model = built(Transformer(CONFIG))
    inputs = {"source": SOURCE_IDS, "target": token_ids(BATCH, TARGET, seed=1)}
    states = numpy(model.states(inputs))
    table = oracle.named_weights(model)["embedding/embeddings"]
    assert_close(model(inputs), oracle.project(states, table))


@both_normalizations
def test_decode_gives_the_logits_of_call(normalization: Normalization) -> None:
    model = built(Transformer(replace(CONFIG, normalization=normalization)))
    target = token_ids(BATCH, TARGET, seed=1)
    memory, may_attend_source = model.encode(SOURCE_IDS)
    found = model.decode(target, cross=model.cross_cache(memory), may_attend_source=may_attend_source)
    assert_close(found, numpy(model({"source": SOURCE_IDS, "target": target})))


@both_normalizations
def test_the_cross_weights_of_a_layer_follow_from_the_output_of_the_layers_before(normalization: Normalization) -> None:
    config = replace(CONFIG, normalization=normalization)
    model = built(Transformer(config))
    target = token_ids(BATCH, TARGET, seed=1)
    memory, may_attend_source = model.encode(SOURCE_IDS)
    encoded = {"cross": model.cross_cache(memory), "may_attend_source": may_attend_source}
    x = model.embed(target)
    sources = [SourceContext(own, may_attend_source) for own in model.cross_cache(memory)]
    for layer, (block, source) in enumerate(zip(model.decoder.blocks, sources, strict=True)):
        expected = inspection.cross_attention_weights(block, x, CAUSAL, source)
        for number in (layer, layer - config.decoder_layers):
            assert_close(model.cross_weights(target, **encoded, layer=number), numpy(expected))
        x = block(x, context=CAUSAL, source=source)
    assert_close(keras.ops.sum(expected, axis=-1), np.ones((BATCH, HEADS, TARGET)))


@pytest.mark.parametrize(("decoder_layers", "layer"), [(1, 0), (2, 1), (3, 1)])
def test_words_are_aligned_by_the_second_to_last_layer_of_three_and_else_by_the_last(
    decoder_layers: int, layer: int
) -> None:
    model = built(Transformer(replace(CONFIG, decoder_layers=decoder_layers)))
    target = token_ids(BATCH, TARGET, seed=1)
    memory, may_attend_source = model.encode(SOURCE_IDS)
    encoded = {"cross": model.cross_cache(memory), "may_attend_source": may_attend_source}
    assert_close(model.cross_weights(target, **encoded), numpy(model.cross_weights(target, **encoded, layer=layer)))


@both_normalizations
def test_attention_maps_hold_the_weights_of_every_layer(normalization: Normalization) -> None:
    model = built(Transformer(replace(CONFIG, normalization=normalization)))
    target = token_ids(BATCH, TARGET, seed=1)
    maps = {
        name: numpy(weights) for name, weights in inspection.attention_maps(model.record(SOURCE_IDS, target)).items()
    }
    memory, may_attend_source = model.encode(SOURCE_IDS)
    cross = model.cross_cache(memory)
    for layer in range(CONFIG.decoder_layers):
        expected = model.cross_weights(target, cross=cross, may_attend_source=may_attend_source, layer=layer)
        assert_close(maps["cross"][layer], numpy(expected))
    # Self-attention of the first layers, computed by Eq. 1 from their queries and keys.
    for side, ids, may_attend in (
        ("encoder", SOURCE_IDS, padding_mask(SOURCE_IDS)),
        ("decoder", target, causal_mask(TARGET)),
    ):
        block = getattr(model, side).blocks[0]
        x = block.residuals[0].sublayer_input(model.embed(ids))
        query, key, _ = (
            numpy(one) for one in block.self_attention.into_heads(block.self_attention.query_key_value, x, 3)
        )
        scores = query @ np.swapaxes(key, -1, -2) / np.sqrt(query.shape[-1])
        scores = np.where(numpy(may_attend), scores, -np.inf)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        assert_close(maps[side][0], scores / scores.sum(axis=-1, keepdims=True))
    assert maps["encoder"].shape[0] == CONFIG.encoder_layers
