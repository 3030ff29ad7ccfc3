"""Encodes text with the `sentencepiece` package, without TensorFlow, for workers that prepare data."""

from collections.abc import Sequence

import sentencepiece

from keras_nmt.pipelines.vocabulary.training import EOS


def encode_with_eos(processor: sentencepiece.SentencePieceProcessor, texts: Sequence[str]) -> list[list[int]]:
    """Returns the ids of each text, followed by EOS.

    If normalisation removes all characters of a text, only EOS is left.

    Args:
        processor: The SentencePiece model.
        texts: The texts.
    """
    return [[*ids, EOS] for ids in processor.encode(list(texts), num_threads=1)]
