"""Exhaustive search and a simple beam search in plain Python and NumPy, as references."""

from typing import NamedTuple

import numpy as np

EOS = 3
NEVER = (0, 2)  # PAD and BOS

Prefix = tuple[int, ...]


class Found(NamedTuple):
    """A finished hypothesis, EOS included."""

    score: float
    log_probability: float
    tokens: Prefix


class PrefixScorer:
    """Random log-probabilities of the next token, which depend on the sentence and all earlier tokens."""

    def __init__(self, seed: int, *, sentences: int, vocabulary: int, length: int) -> None:
        self.vocabulary = vocabulary
        nodes = sum(vocabulary**n for n in range(length))
        logits = np.random.default_rng(seed).normal(scale=2.0, size=(sentences, nodes, vocabulary))
        table = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        self.table = table.astype(np.float32)  # [B, nodes, V]

    def node(self, prefix: Prefix) -> int:
        """Returns the prefix's node in the tree of all prefixes: the children of n are n V + 1 … n V + V."""
        node = 0
        for token in prefix:
            node = node * self.vocabulary + token + 1
        return node

    def log_probabilities(self, sentence: int, prefix: Prefix) -> np.ndarray:
        return self.table[sentence, self.node(prefix)]

    def log_probability(self, sentence: int, tokens: Prefix) -> float:
        return sum(float(self.log_probabilities(sentence, tokens[:i])[t]) for i, t in enumerate(tokens))


def length_penalty(length: int, alpha: float) -> float:
    return ((5 + length) / 6) ** alpha


def choices(position: int, limit: int, vocabulary: int) -> list[int]:
    """Returns the tokens allowed at `position` of a hypothesis of at most `limit` tokens."""
    return [EOS] if position + 1 == limit else [t for t in range(vocabulary) if t not in NEVER]


def exhaustive_search(scorer: PrefixScorer, sentence: int, *, limit: int, alpha: float) -> list[Found]:
    """Returns every hypothesis of at most `limit` tokens, best first."""
    found = []

    def visit(prefix: Prefix) -> None:
        for token in choices(len(prefix), limit, scorer.vocabulary):
            tokens = (*prefix, token)
            if token == EOS:
                log_probability = scorer.log_probability(sentence, tokens)
                score = log_probability / length_penalty(len(tokens), alpha)
                found.append(Found(score, log_probability, tokens))
            else:
                visit(tokens)

    visit(())
    return sorted(found, reverse=True)


def plain_beam_search(scorer: PrefixScorer, sentence: int, *, limit: int, alpha: float, beam_size: int) -> list[Found]:
    """Returns the K best finished hypotheses of a beam search that never stops early."""
    live: list[tuple[float, Prefix]] = [(0.0, ())]
    finished: list[Found] = []
    for position in range(limit):
        extended = [
            (total + float(scorer.log_probabilities(sentence, prefix)[token]), (*prefix, token))
            for total, prefix in live
            for token in choices(position, limit, scorer.vocabulary)
        ]
        best = sorted(extended, reverse=True)[: 2 * beam_size if beam_size > 1 else 1]
        penalty = length_penalty(position + 1, alpha)
        finished += [Found(total / penalty, total, tokens) for total, tokens in best if tokens[-1] == EOS]
        finished = sorted(finished, reverse=True)[:beam_size]
        live = [(total, tokens) for total, tokens in best if tokens[-1] != EOS][:beam_size]
    return finished
