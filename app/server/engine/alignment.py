"""Aligns the words of sentences with the words of their translations."""

import re
from collections.abc import Sequence, Sized
from typing import NamedTuple

import numpy as np

from keras_nmt.app.decoding.signatures import ALIGN
from keras_nmt.app.server.engine.batching import Batcher
from keras_nmt.app.server.engine.versions import Direction

MAX_ALIGNED = 1500**2  # number of characters of a sentence times number of characters of its translation


class Alignment(NamedTuple):
    """The alignment of a sentence with its translation.

    Attributes:
        pairs: Pairs of aligned words: the index of a source word, and the index of a target word that translates it.
        weights: float32 [U, W]. The attention of each of U target words to each of W source words; [0, W] for a long
            sentence, for which `can_be_aligned` returns False.
    """

    pairs: list[tuple[int, int]]
    weights: np.ndarray


async def align_sentences(
    batcher: Batcher, direction: Direction, sentences: Sequence[tuple[str, str]]
) -> list[Alignment]:
    """Aligns sentences with their translations.

    The attention matrix of a long sentence needs too much memory, so `monotonic_alignment` aligns such a sentence.

    Args:
        batcher: Batcher that runs the signature.
        direction: Model version and language pair.
        sentences: Pairs of a sentence and its translation.
    """
    rows = [
        {"texts": direction.encoded(source), "targets": target.encode("utf-8", "replace")}
        for source, target in sentences
        if can_be_aligned(source, target)
    ]
    answers = iter(await batcher.run(direction.version, ALIGN, rows, {}) if rows else ())
    tags = len(direction.tags)  # each tag counts as a source word
    found = []
    for source, target in sentences:
        if not can_be_aligned(source, target):
            found.append(monotonic_alignment(len(source.split()), len(target.split())))
            continue
        answer = next(answers)
        links = re.findall(r"(\d+)-(\d+)", answer["alignments"].decode())
        pairs = [(int(i) - tags, int(j)) for i, j in links if int(i) >= tags]
        found.append(Alignment(pairs, answer["weights"][:, tags:]))
    return found


def can_be_aligned(text: Sized, translation: Sized) -> bool:
    """Returns True if the attention matrix of a text and its translation is small enough.

    The matrix has at most as many elements as the product of the two lengths.
    """
    return len(text) * len(translation) <= MAX_ALIGNED


def monotonic_alignment(source_words: int, target_words: int) -> Alignment:
    """Returns an alignment that assumes the same word order in both languages. It has no attention weights."""
    pairs = [(target * source_words // target_words, target) for target in range(target_words)] if source_words else []
    return Alignment(pairs, np.zeros((0, source_words), np.float32))
