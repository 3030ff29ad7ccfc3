from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.network import beam_cache
from keras_nmt.app.decoding.network.beam_cache import BeamCache, decode_step, empty_cache
from keras_nmt.app.decoding.network.ensemble import Ensemble, mean_logits
from keras_nmt.layers.config import TransformerConfig
from keras_nmt.layers.transformer import Transformer

STEPS, BEAMS, VOCABULARY, WORD = 11, 3, 17, 5
SOURCE = tf.constant([[WORD, 6, WORD, 3], [9, WORD, 3, 0]])


def transformer(heads: int, decoder_layers: int, word_token: int) -> Transformer:
    width = {"model_width": 12, "inner_width": 20, "heads": heads}
    depth = {"encoder_layers": 1, "decoder_layers": decoder_layers}
    return Transformer(TransformerConfig(VOCABULARY, **width, **depth, word_token=word_token))


@pytest.fixture(scope="module", params=[0, WORD], ids=["plain", "told words"])
def transformers(request: pytest.FixtureRequest) -> list[Transformer]:
    shapes = [{"heads": 3, "decoder_layers": 2}, {"heads": 2, "decoder_layers": 1}]
    return [transformer(**shape, word_token=request.param) for shape in shapes]


@pytest.mark.parametrize(
    ("members", "is_traced"), [(1, False), (1, True), (2, False), pytest.param(2, True, marks=pytest.mark.slow)]
)
def test_reordered_beams_keep_their_histories(
    transformers: list[Transformer], members: int, is_traced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beam_cache, "MOST_ROOM", 2)  # so that the cache is full more than once
    monkeypatch.setattr(beam_cache, "LEAST_ROOM", 1)
    model: Any = Ensemble(transformers) if members == 2 else transformers[0]
    memory, may_attend = model.encode(SOURCE)
    encoded = {"cross": model.cross_cache(memory), "may_attend_source": may_attend}
    if model.word_token:
        encoded["words"] = model.word_memory(SOURCE, memory)
    random = np.random.default_rng(3)
    history = np.zeros((2 * BEAMS, 0), np.int32)
    cache = empty_cache(model, tf.constant(2), tf.constant(BEAMS))

    def step(tokens: tf.Tensor, position: tf.Tensor, cache: BeamCache) -> tuple[tf.Tensor, BeamCache]:
        return decode_step(model, tokens, position, cache, **encoded)

    step = tf.function(step, autograph=False, reduce_retracing=True) if is_traced else step
    for position in range(STEPS):
        tokens = random.integers(4, VOCABULARY, 2 * BEAMS, dtype=np.int32)
        tokens = np.where(random.random(2 * BEAMS) < 0.3, WORD, tokens).astype(np.int32)
        history = np.concatenate([history, tokens[:, None]], axis=1)
        logits, cache = step(tf.constant(tokens), tf.constant(position), cache)
        inputs = {"source": tf.repeat(SOURCE, BEAMS, axis=0), "target": tf.constant(history)}
        of_each = [one(inputs)[:, -1] for one in transformers[:members]]
        expected = mean_logits(of_each) if members == 2 else of_each[0]
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
        survivors = (
            random.integers(0, BEAMS, (2, BEAMS)) + np.array([[0], [BEAMS]])
        ).ravel()  # some survive twice, some not at all
        of_beams = tf.nest.map_structure(lambda values: tf.gather(values, survivors), cache.of_beams())  # noqa: B023
        history, cache = history[survivors], BeamCache(cache.written, *of_beams)
    assert cache.history.shape[1] < STEPS * BEAMS  # slots that belong to no history were dropped
