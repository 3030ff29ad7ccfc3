"""The batch contract between `pipelines` and `layers`."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_nmt.layers import Transformer, TransformerConfig, masks
from keras_nmt.pipelines.preparation.prepare import PreparationOptions, prepare
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.streaming.options import StreamOptions
from keras_nmt.pipelines.streaming.stream import evaluation_stream, training_stream
from keras_nmt.pipelines.vocabulary import tokenizer as vocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD

VOCABULARY, TOKENS, LENGTH = 504, 512, 64
OPTIONS = StreamOptions(TOKENS, LENGTH, seed=1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, sample = tmp_path_factory.mktemp("contract") / "data", "sample:tatoeba-en-de"
    prepare(
        PreparationOptions(LanguagePair("en", "de"), (sample,), (sample,), out, vocabulary_size=VOCABULARY, limit=600)
    )
    return out


@pytest.fixture(scope="module")
def transformer() -> Transformer:
    keras.utils.set_random_seed(3)
    config = TransformerConfig(VOCABULARY, model_width=12, inner_width=20, heads=3, encoder_layers=1, decoder_layers=2)
    return Transformer(config)


def test_both_sides_have_the_same_ids_of_padding_and_end() -> None:
    assert masks.PAD == vocabulary.PAD == 0
    assert masks.EOS == EOS


@pytest.mark.parametrize("split", ["train", "dev"])
def test_the_transformer_takes_a_batch_of_the_pipeline(prepared: Path, transformer: Transformer, split: str) -> None:
    sizes = {"batch_tokens": TOKENS, "max_length": LENGTH}
    stream = training_stream(prepared, OPTIONS) if split == "train" else evaluation_stream(prepared, **sizes)
    inputs, labels = next(iter(stream))
    logits = keras.ops.convert_to_numpy(transformer(inputs))
    assert set(inputs) == {"source", "target"}
    assert logits.shape == (*labels.shape, VOCABULARY)  # [B, T, V]
    assert np.isfinite(logits).all()


def test_the_transformer_scores_each_pair_of_a_packed_batch_as_if_it_were_alone(
    prepared: Path, transformer: Transformer
) -> None:
    stream = training_stream(prepared, replace(OPTIONS, packed=True))
    inputs, labels = next(stream.as_numpy_iterator())
    assert set(inputs) == {"source", "source_segments", "target", "target_segments"}
    logits = keras.ops.convert_to_numpy(transformer(inputs))
    assert logits.shape == (*labels.shape, VOCABULARY)
    assert np.array_equal(inputs["target_segments"] != 0, labels != PAD)
    for segment in (1, 2, int(inputs["target_segments"][0].max())):
        sides = [inputs[f"{side}_segments"][0] == segment for side in ("source", "target")]
        alone = {"source": inputs["source"][:1, sides[0]], "target": inputs["target"][:1, sides[1]]}
        assert alone["target"][0].tolist() == [BOS, *labels[0, sides[1]][:-1]]
        assert labels[0, sides[1]][-1] == alone["source"][0, -1] == EOS
        scores = keras.ops.convert_to_numpy(transformer(alone))[0]
        np.testing.assert_allclose(logits[0, sides[1]], scores, atol=1e-5)


def test_the_decoder_input_is_the_labels_shifted_by_one(prepared: Path) -> None:
    for inputs, labels in training_stream(prepared, OPTIONS).take(3):
        source, target, expected = (ids.numpy() for ids in (inputs["source"], inputs["target"], labels))
        assert {source.dtype, target.dtype, expected.dtype} == {np.dtype(np.int32)}
        assert len(source) == len(target) == len(expected)
        for row in range(len(expected)):
            length = int((expected[row] != PAD).sum())
            if not length:
                assert not target[row].any()
                assert not source[row].any()
                continue
            assert target[row, 0] == BOS
            np.testing.assert_array_equal(target[row, 1:length], expected[row, : length - 1])
            assert not target[row, length:].any()
            assert expected[row, length - 1] == EOS
            assert source[row][source[row] != PAD][-1] == EOS


def test_padding_of_the_pipeline_does_not_change_the_logits(prepared: Path, transformer: Transformer) -> None:
    inputs, _ = next(iter(training_stream(prepared, OPTIONS)))
    source, target = inputs["source"].numpy(), inputs["target"].numpy()
    widths = [(ids != PAD).sum(axis=1) for ids in (source, target)]
    row = next(i for i in range(len(source)) if 0 < widths[0][i] < source.shape[1])
    together = keras.ops.convert_to_numpy(transformer(inputs))[row, : widths[1][row]]
    alone = {"source": source[row : row + 1, : widths[0][row]], "target": target[row : row + 1, : widths[1][row]]}
    np.testing.assert_allclose(keras.ops.convert_to_numpy(transformer(alone))[0], together, atol=1e-5)
