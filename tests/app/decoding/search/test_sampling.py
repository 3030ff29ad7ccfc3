from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.search.hypotheses import Hypotheses, SearchState
from keras_nmt.app.decoding.search.penalties import Repetition
from keras_nmt.app.decoding.search.sampling import Sampling, draw, sample
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD

PROBABILITIES = [0.1, 0.0, 0.2, 0.1, 0.4, 0.15, 0.05]  # of PAD, an unknown, BOS, EOS and three words


FREE = Sampling()


def always(tokens: tf.Tensor, position: tf.Tensor, state: SearchState) -> tuple[tf.Tensor, SearchState]:
    return tf.tile(tf.math.log([PROBABILITIES]), [tf.shape(tokens)[0], 1]), state


def drawn(seeds: list[list[int]], *, limit: int = 80, sampling: Sampling = FREE, **options: Any) -> Hypotheses:
    limits = tf.fill([len(seeds)], limit)
    return sample(
        always,
        SearchState(tf.zeros([len(seeds)])),
        length_limits=limits,
        seeds=tf.constant(seeds),
        sampling=sampling,
        **options,
    )


def frequencies(sampling: Sampling) -> np.ndarray:
    numbers = (np.arange(2000, dtype=np.float32) + 0.5) / 2000
    logits = tf.tile(tf.math.log([PROBABILITIES]), [2000, 1])
    return np.bincount(draw(logits, tf.constant(numbers), sampling), minlength=7) / 2000


@pytest.mark.parametrize(
    ("sampling", "weights"),
    [
        (Sampling(), [0, 0, 0, 0.1, 0.4, 0.15, 0.05]),
        (Sampling(top_k=2), [0, 0, 0, 0, 0.4, 0.15, 0]),
        (Sampling(top_k=100), [0, 0, 0, 0.1, 0.4, 0.15, 0.05]),
        (Sampling(top_p=0.57), [0, 0, 0, 0, 0.4, 0, 0]),  # 0.4 of 0.7 is 0.571
        (Sampling(top_p=0.58), [0, 0, 0, 0, 0.4, 0.15, 0]),
        (Sampling(temperature=0.5), [0, 0, 0, 0.01, 0.16, 0.0225, 0.0025]),
        (Sampling(temperature=0.5, top_k=3, top_p=0.9), [0, 0, 0, 0, 0.16, 0.0225, 0]),
    ],
)
def test_tokens_are_drawn_as_often_as_they_are_likely(sampling: Sampling, weights: list[float]) -> None:
    np.testing.assert_allclose(frequencies(sampling), np.array(weights) / sum(weights), atol=1e-3)


def test_a_sample_does_not_depend_on_the_batch() -> None:
    seeds = [[1, 0], [2, 0], [1, 1], [3, 7]]
    together = drawn(seeds)
    for row, seed in enumerate(seeds):
        alone = drawn([seed])
        np.testing.assert_array_equal(together.tokens[row], alone.tokens[0])
        np.testing.assert_allclose(together.scores[row], alone.scores[0], rtol=1e-6)
    assert len({tuple(row[0]) for row in together.tokens.numpy().tolist()}) == len(seeds)
    longer = drawn([[1, 0]], limit=300).tokens[0, 0].numpy()  # drawing more numbers does not change the first
    length = int(together.lengths[0, 0])
    np.testing.assert_array_equal(longer[:length], together.tokens[0, 0, :length])


def test_a_sample_ends_once_and_has_the_probability_of_the_model() -> None:
    found = drawn([[seed, 0] for seed in range(20)], limit=5, sampling=Sampling(temperature=0.7), length_penalty=1.0)
    for tokens, length, by_token, score in zip(
        found.tokens[:, 0].numpy().tolist(),
        found.lengths[:, 0].numpy(),
        found.token_log_probabilities[:, 0].numpy(),
        found.scores[:, 0].numpy(),
        strict=True,
    ):
        assert tokens.index(EOS) == length - 1
        assert tokens[length:] == [PAD] * (5 - length)
        assert BOS not in tokens
        expected = np.log([PROBABILITIES[token] for token in tokens[:length]])
        np.testing.assert_allclose(by_token[:length], expected, rtol=1e-5)
        assert score == pytest.approx(expected.sum() / ((5 + length) / 6), rel=1e-5)


def test_banned_ngrams_are_not_sampled() -> None:
    found = drawn([[seed, 0] for seed in range(10)], repetition=Repetition(no_repeat_ngram_size=1))
    assert int(tf.reduce_max(found.lengths)) == 4
    for tokens, length in zip(found.tokens[:, 0].numpy().tolist(), found.lengths[:, 0].numpy(), strict=True):
        assert len(set(tokens[:length])) == length


def test_a_sample_ends_no_earlier_than_its_minimum_length() -> None:
    seeds = [[seed, 0] for seed in range(20)]
    found = drawn(seeds, min_tokens=6)
    assert int(tf.reduce_min(drawn(seeds).lengths)) < 7 <= int(tf.reduce_min(found.lengths))
    assert not np.isinf(found.log_probabilities).any()
    assert drawn(seeds, min_tokens=6, limit=3).lengths.numpy().max() == 3  # the limit takes precedence


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (Sampling(temperature=0.0), "the temperature must be above 0"),
        (Sampling(top_p=0.0), "top_p must be above 0"),
        (Sampling(top_k=-1), "top_k must be at least 0"),
    ],
)
def test_impossible_sampling_is_refused(sampling: Sampling, message: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        drawn([[1, 0]], sampling=sampling)
