"""Measures the probability of documents under a language model, in batches."""

from collections.abc import Sequence

import tensorflow as tf

from keras_nmt.app.decoding.generation.graph import GenerationGraph
from keras_nmt.app.decoding.signatures import SCORE

CHARACTERS_AT_ONCE = 200_000


def log_probability(engine: GenerationGraph, texts: Sequence[str]) -> tuple[float, int]:
    """Returns the natural logarithm of the probability of all `texts`, and the number of their tokens, EOS included."""
    score = engine.signatures()[SCORE]
    total, tokens = 0.0, 0
    batch: list[str] = []
    for number, text in enumerate(texts, start=1):
        batch.append(text)
        if sum(map(len, batch)) >= CHARACTERS_AT_ONCE or number == len(texts):
            found = score(texts=tf.constant(batch))
            total += float(tf.reduce_sum(tf.cast(found["log_probabilities"], tf.float64)))
            tokens += int(tf.math.count_nonzero(found["pieces"] != ""))
            batch = []
    return total, tokens
