"""The numbers of the signature `inside_layer`, against NumPy's own computation from the weights."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose

from keras_nmt.app.decoding.inside.signatures import KINDS, MOST_SOURCE_TOKENS, MOST_TARGET_TOKENS
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, Vocabulary
from tests.app.decoding.inside.conftest import HEADS, INNER, LAYERS, WIDTH, Found, Shown, arrays, graph_of
from tests.oracles import transformer as oracle

Case = tuple[str, int, int]
CASES: list[Case] = [("encoder", 0, 2), ("encoder", 1, 0), ("decoder", 1, 1), ("cross", 0, 0), ("cross", 1, 2)]


@pytest.fixture(scope="module")
def details(pre: Shown) -> dict[Case, Found]:
    return {case: pre.layer(kind=KINDS.index(case[0]), layer=case[1], head=case[2]) for case in CASES}


def named_weights(model: Any, kind: str, layer: int) -> oracle.Named:
    """Returns the weights of a layer in NumPy, by their path below the layer."""
    stack = "encoder" if kind == "encoder" else "decoder"
    return oracle.below(oracle.named_weights(model), f"{stack}/layer_{layer}")


def test_queries_keys_and_values_are_projections(pre: Shown, details: dict[Case, Found]) -> None:
    for (kind, layer, head), found in details.items():
        named = named_weights(pre.model, kind, layer)
        attention = oracle.below(named, "cross_attention" if kind == "cross" else "self_attention")
        split = oracle.cross_attention_weights if kind == "cross" else oracle.self_attention_weights
        of_all = split(attention, HEADS)
        width = WIDTH // HEADS
        for side in ("query", "key", "value"):
            matrix = getattr(of_all, side)[head]
            assert_allclose(found[f"{side}_matrix"], matrix, rtol=1e-6)
            read = found["query_input" if side == "query" else "key_input"]
            assert_allclose(found[side], read @ matrix + found[f"{side}_bias"], rtol=1e-4, atol=1e-5)
        assert_allclose(found["output_matrix"], of_all.output[head * width : (head + 1) * width], rtol=1e-6)
        assert_allclose(found["output_bias"], attention["output_projection/bias"], rtol=1e-6)


def test_scores_weights_and_the_head_output_follow_from_queries_keys_and_values(details: dict[Case, Found]) -> None:
    for (kind, _, _), found in details.items():
        scores = found["query"] @ found["key"].T
        assert_allclose(found["scores"], scores, rtol=1e-4, atol=1e-5)
        may_attend = oracle.causal_mask(len(scores)) if kind == "decoder" else np.ones_like(scores, bool)
        powers = np.where(may_attend, np.exp(scores / np.sqrt(WIDTH // HEADS)), 0)
        weights = powers / powers.sum(axis=1, keepdims=True)
        assert_allclose(found["weights"], weights, rtol=1e-4, atol=1e-6)
        assert_allclose(found["mixed"], weights @ found["value"], rtol=1e-4, atol=1e-5)
        assert_allclose(found["head_output"], found["mixed"] @ found["output_matrix"], rtol=1e-4, atol=1e-5)


def test_the_outputs_of_the_heads_and_the_bias_are_what_the_attention_adds(pre: Shown) -> None:
    for number, (kind, place) in enumerate({"encoder": 0, "decoder": 0, "cross": 1}.items()):
        found = [pre.layer(kind=number, layer=1, head=head) for head in range(HEADS)]
        total = sum(one["head_output"] for one in found) + found[0]["output_bias"]
        assert_allclose(total, found[0]["added"][place], rtol=1e-4, atol=1e-5, err_msg=kind)


def test_the_whole_layer_is_computed_from_its_input(pre: Shown, details: dict[Case, Found]) -> None:
    for (kind, layer, _), found in details.items():
        of_layer = oracle.encoder_layer_weights if kind == "encoder" else oracle.decoder_layer_weights
        weights: Any = of_layer(named_weights(pre.model, kind, layer), HEADS)
        assert_allclose(found["gamma"], [norm.gain for norm in weights.norms], rtol=1e-6)
        assert_allclose(found["beta"], [norm.bias for norm in weights.norms], rtol=1e-6)
        for before, normalized, norm in zip(found["before"], found["normalized"], weights.norms, strict=True):
            assert_allclose(normalized, oracle.layer_norm(before, norm), rtol=1e-3, atol=1e-4)
        assert_allclose(found["after"], found["before"] + found["added"], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(found["after"][:-1], found["before"][1:])
        inside = weights.feed_forward
        inner = np.maximum(0, found["normalized"][-1] @ inside.w1 + inside.b1)
        assert_allclose(found["inner"], inner, rtol=1e-3, atol=1e-4)
        assert_allclose(found["added"][-1], inner @ inside.w2 + inside.b2, rtol=1e-3, atol=1e-4)


def test_the_first_inputs_are_scaled_embeddings_with_positions(pre: Shown, details: dict[Case, Found]) -> None:
    table = pre.model.embedding.embeddings.numpy()
    target = np.concatenate([[BOS], pre.overview["target_ids"][:-1]])
    for case, ids in ((("encoder", 0, 2), pre.overview["source_ids"]), (("cross", 0, 0), target)):
        expected = table[ids] * np.sqrt(WIDTH) + oracle.sinusoids(range(len(ids)), WIDTH)
        assert_allclose(details[case]["before"][0], expected, rtol=1e-4, atol=1e-5)


def test_the_keys_of_cross_attention_read_the_output_of_the_encoder(pre: Shown, details: dict[Case, Found]) -> None:
    memory, _ = pre.model.encode(pre.overview["source_ids"][None])
    assert_allclose(details["cross", 1, 2]["key_input"], memory[0], rtol=1e-4, atol=1e-5)


def test_the_overview_and_the_details_agree(pre: Shown, details: dict[Case, Found]) -> None:
    for (kind, layer, head), found in details.items():
        assert_allclose(pre.overview[f"{kind}_attention"][layer, head], found["weights"], rtol=1e-5)
        side = "encoder" if kind == "encoder" else "decoder"
        norms = np.linalg.norm(np.stack([found["before"], found["added"], found["after"]], axis=1), axis=-1)
        assert_allclose(pre.overview[f"{side}_norms"][layer], norms, rtol=1e-5)
        assert_allclose(pre.overview[f"{side}_active"][layer], (found["inner"] > 0).mean(axis=1), rtol=1e-5)
        assert found["inner"].shape == (len(found["query"]), INNER)


def test_a_model_in_bfloat16_is_shown_in_float32(vocabulary: Vocabulary) -> None:
    graph = graph_of(vocabulary, normalization="post", dtype="bfloat16")
    show = graph.inside_signatures()["inside_layer"]
    ids = {"source_ids": tf.constant([7, 8, 9, EOS]), "target_ids": tf.constant([10, 11, EOS])}
    numbers = {"kind": tf.constant(KINDS.index("cross")), "layer": tf.constant(0)}
    found, *others = (arrays(show(**ids, **numbers, head=tf.constant(head))) for head in range(HEADS))
    assert {values.dtype for values in found.values()} == {np.dtype("float32")}
    np.testing.assert_array_equal(found["normalized"], found["after"])  # with the normalisation after the sum
    np.testing.assert_array_equal(found["query_input"], found["before"][1])
    weights = oracle.decoder_layer_weights(named_weights(graph.transformer, "cross", 0), HEADS)
    for before, added, after, norm in zip(found["before"], found["added"], found["after"], weights.norms, strict=True):
        assert_allclose(after, oracle.layer_norm(before + added, norm), rtol=0.05, atol=0.05)
    total = sum(one["head_output"] for one in (found, *others))
    assert_allclose(total, found["added"][1], rtol=0.05, atol=0.05)


def wrong_inputs() -> Iterator[tuple[dict[str, Any], str]]:
    """Yields inputs, and the message that refuses them."""
    for name, last in {"kind": 2, "layer": LAYERS - 1, "head": HEADS - 1}.items():
        for number in (-1, last + 1):
            yield {name: number}, f"{name} must be from 0 to {last}"
    for name, most in (("source_ids", MOST_SOURCE_TOKENS), ("target_ids", MOST_TARGET_TOKENS)):
        for size in (0, most + 1):
            yield {name: [EOS] * size}, f"the number of {name} must be from 1 to {most}"


@pytest.mark.parametrize(("changes", "message"), list(wrong_inputs()))
def test_numbers_out_of_range_are_refused(pre: Shown, changes: dict[str, Any], message: str) -> None:
    inputs = {"source_ids": [EOS], "target_ids": [EOS], "kind": 0, "layer": 0, "head": 0, **changes}
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        pre.signatures["inside_layer"](**{name: tf.constant(value, tf.int32) for name, value in inputs.items()})
