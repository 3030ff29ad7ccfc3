"""The word pointer in NumPy: one target position at a time."""

import numpy as np

from tests.oracles import transformer as oracle
from tests.oracles.transformer import Array


def told(source: Array, target: Array, memory: Array, kernel: Array, word: int) -> Array:
    """Returns the projected mean of the encoder's output at the next unread word of each target position: [B, T, D].

    The tokens of a word are the id `word` and those that follow it. Without an unread word, the result is 0.
    """
    result = np.zeros((*target.shape, kernel.shape[1]))
    for row, ids in enumerate(source):
        places = [place for place, token in enumerate(ids) if token == word]
        ends = [*places[1:], np.count_nonzero(ids)]
        for position in range(target.shape[1]):
            read = target[row, : position + 1].tolist().count(word)
            if read < len(places):
                result[row, position] = memory[row, places[read] : ends[read]].mean(axis=0) @ kernel
    return result


def transformer(source: Array, target: Array, weights: oracle.Transformer, kernel: Array, word: int) -> Array:
    """Computes the logits of a Transformer whose decoder input is the sum of embedding, position and word told."""
    width = weights.embeddings.shape[1]
    may_attend = oracle.padding_mask(source)
    x = oracle.embed(source, weights.embeddings) + oracle.sinusoids(range(source.shape[1]), width)
    memory = oracle.encoder(x, weights.encoder, may_attend)
    y = oracle.embed(target, weights.embeddings) + oracle.sinusoids(range(target.shape[1]), width)
    y += told(source, target, memory, kernel, word)
    return oracle.project(oracle.decoder(y, memory, weights.decoder, may_attend), weights.embeddings)
