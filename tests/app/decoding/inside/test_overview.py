"""The numbers of the signature `inside`, against NumPy and against the other signatures."""

import numpy as np
import tensorflow as tf
from numpy.testing import assert_allclose

from keras_nmt.app.decoding.inside.signatures import MOST_SOURCE_TOKENS, MOST_TARGET_TOKENS, SAMPLES
from keras_nmt.app.decoding.network.ensemble import Ensemble
from keras_nmt.app.decoding.search.sampling import Sampling
from keras_nmt.app.decoding.text.texts import Search
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.layers.inspection import attention_maps
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, Vocabulary
from tests.app.decoding.inside.conftest import INNER, LAYERS, OPTIONS, TEXT, Shown


def decoder_input(labels: np.ndarray) -> np.ndarray:
    return np.concatenate([[BOS], labels[:-1]])


def test_the_tokens_are_those_of_the_search(pre: Shown, vocabulary: Vocabulary) -> None:
    found = pre.overview
    (source,) = vocabulary.encode(tf.constant([TEXT])).to_list()
    assert found["source_ids"].tolist() == [*source, EOS]
    search = pre.graph.search(tf.ragged.constant([source]), 1)
    assert found["target_ids"].tolist() == search.tokens[0, 0, : search.lengths[0, 0]].numpy().tolist()
    pieces = vocabulary.pieces()
    for side in ("source", "target"):
        assert [piece.decode() for piece in found[f"{side}_pieces"]] == [pieces[i] for i in found[f"{side}_ids"]]


def test_embeddings_are_rows_of_the_table_with_their_nearest_rows(pre: Shown, vocabulary: Vocabulary) -> None:
    table = pre.model.embedding.embeddings.numpy()
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    read = {"source": pre.overview["source_ids"], "target": decoder_input(pre.overview["target_ids"])}
    for side, ids in read.items():
        assert_allclose(pre.overview[f"{side}_embeddings"], table[ids], rtol=1e-6)
        cosines = unit[ids] @ unit.T
        cosines[np.arange(len(ids)), ids] = -2
        nearest = np.argsort(-cosines, axis=1)[:, :8]
        assert_allclose(pre.overview[f"{side}_cosines"], np.take_along_axis(cosines, nearest, 1), rtol=1e-4)
        expected = [[vocabulary.pieces()[i] for i in row] for row in nearest]
        assert [[piece.decode() for piece in row] for row in pre.overview[f"{side}_neighbours"]] == expected


def test_norms_and_active_units_are_those_of_the_record(pre: Shown) -> None:
    source, target = pre.overview["source_ids"], pre.overview["target_ids"]
    record = pre.model.record(source[None], decoder_input(target)[None])
    for side in ("encoder", "decoder"):
        for number, layer in enumerate(getattr(record, side)):
            for sublayer, steps in enumerate(layer.sublayers):
                norms = [np.linalg.norm(values[0], axis=-1) for values in (steps.before, steps.added, steps.after)]
                assert_allclose(pre.overview[f"{side}_norms"][number, sublayer], norms, rtol=1e-5)
            active = (layer.inner_units[0].numpy() > 0).sum(axis=-1) / INNER
            assert_allclose(pre.overview[f"{side}_active"][number], active, rtol=1e-6)
        assert pre.overview[f"{side}_norms"].shape[0] == LAYERS
    for name, weights in attention_maps(record).items():
        assert_allclose(pre.overview[f"{name}_attention"], weights[:, 0], rtol=1e-5, atol=1e-7)
    longest = max(len(source), len(target))
    assert_allclose(pre.overview["positional_encodings"], pre.model.positional_encodings(longest))


def test_probabilities_at_a_temperature_follow_from_the_distribution(pre: Shown, vocabulary: Vocabulary) -> None:
    source, target = pre.overview["source_ids"], pre.overview["target_ids"]
    logits = pre.model({"source": source[None], "target": decoder_input(target)[None]}).numpy()[0].astype(float)
    assert_allclose(pre.overview["chosen_logits"], np.take_along_axis(logits, target[:, None], 1)[:, 0], rtol=1e-4)
    best = np.argsort(-logits, axis=1)[:, :20]
    assert_allclose(pre.overview["top_logits"], np.take_along_axis(logits, best, 1), rtol=1e-4)
    assert [piece.decode() for piece in pre.overview["top_pieces"][0]] == [vocabulary.pieces()[i] for i in best[0]]
    assert_allclose(pre.overview["temperatures"], np.arange(1, 21) / 10, rtol=1e-6)
    for column, temperature in enumerate(np.arange(1, 21) / 10):
        expected = np.log(np.exp(logits / temperature).sum(axis=1))
        assert_allclose(pre.overview["log_normalizers"][:, column], expected, rtol=1e-4)


def test_the_outputs_are_those_of_the_engine(pre: Shown) -> None:
    texts, search = tf.constant([TEXT]), Search.of(OPTIONS)
    best = pre.graph.translate(texts, search).translations
    greedy = pre.graph.translate(texts, search._replace(beam_size=tf.constant(1))).translations
    assert [pre.overview[f"{name}_output"] for name in ("beam", "greedy")] == [best[0, 0], greedy[0, 0]]
    seeds, same = tf.range(SAMPLES), tf.repeat(texts, SAMPLES)
    drawn = pre.graph.sample(same, seeds, Sampling(), search, count=1).translations[:, 0]
    assert pre.overview["sampled_outputs"].tolist() == drawn.numpy().tolist()
    assert len(set(pre.overview["sampled_outputs"])) == SAMPLES


def test_a_candidate_is_less_probable_than_its_parent(pre: Shown) -> None:
    texts, pieces, sums, parents = (
        pre.overview[f"candidate_{name}"] for name in ("texts", "pieces", "log_probabilities", "parents")
    )
    assert np.all(parents[0] == -1)
    assert texts.shape == pieces.shape == sums.shape == parents.shape
    assert parents.shape[1] == 2 * OPTIONS.beam_size
    for step in range(1, len(parents)):
        assert np.all(pieces[step - 1][parents[step]] != b"</s>")
        assert np.all(sums[step] < sums[step - 1][parents[step]])
    assert len(set(parents[1:].flatten())) > 2


def test_a_long_text_is_cut(pre: Shown) -> None:
    found = pre.inside("one two three four five six " * 10)
    assert len(found["source_ids"]) == MOST_SOURCE_TOKENS
    assert found["source_ids"][-1] == EOS
    assert found["cross_attention"].shape[-1] == MOST_SOURCE_TOKENS
    # The model hardly ever ends an output, so the search went on to its limit, 40 tokens beyond the source.
    assert len(found["target_ids"]) == len(found["candidate_texts"]) == MOST_TARGET_TOKENS
    assert EOS not in found["target_ids"]
    assert found["decoder_attention"].shape[-1] == MOST_TARGET_TOKENS
    shown = pre.graph.vocabulary.decode(tf.constant(found["target_ids"])[tf.newaxis])[0].numpy()
    assert found["beam_output"].startswith(shown.rstrip(b"\xef\xbf\xbd"))
    assert len(found["beam_output"]) > len(shown)


def test_a_blank_text_has_only_ends(pre: Shown) -> None:
    found = pre.inside("")
    assert found["source_ids"].tolist() == [EOS]
    assert found["target_ids"].tolist() == [EOS]
    assert found["beam_output"] == b""


def test_an_ensemble_has_no_signatures_of_its_inside(pre: Shown, vocabulary: Vocabulary) -> None:
    graph = TranslationGraph(Ensemble([pre.model, pre.model]), vocabulary, OPTIONS)
    assert {"explain", "inside", "inside_layer"} & set(graph.signatures()) == {"explain"}
