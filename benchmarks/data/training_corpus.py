"""Writes the corpus of the training benchmark: the same random sentences in each form that a program needs.

The forms are prepared data for this program, text for programs that read text, and batches for libraries without a data
pipeline. The batches are the first batches of this program's training stream.

Usage: python -m benchmarks.data.training_corpus DIR TOKENS...
"""

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import EOS, FIRST_WORD, VOCABULARY_SIZE, Batch, batches_file
from keras_nmt.app.runtime.tensorflow_start import import_tensorflow

PAIRS = 40_000
MEAN_LENGTH, LONGEST, SHORTEST = 25, 100, 4  # tokens in a sentence, without EOS
SPREAD, DIFFERENCE = (
    0.55,
    0.12,
)  # standard deviations of log length, and of log target length / source length
MAX_LENGTH = 104  # limit of the stream: no sentence is longer, and 8 sentences of this length fit into 1,024 tokens
SEED = 1
STORED_BATCHES = 200

Pair = tuple[list[int], list[int]]


def write_corpus(
    data: Path, batch_tokens: Iterable[int], pairs: int = PAIRS, vocabulary_size: int = VOCABULARY_SIZE
) -> None:
    """Writes the corpus in all forms into a new folder.

    Args:
        data: The new folder.
        batch_tokens: The batch sizes in tokens. One file of batches is written for each size.
        pairs: Number of sentence pairs.
        vocabulary_size: Number of different ids, including those of the special tokens.
    """
    data.mkdir(parents=True)
    sentences = sentence_pairs(pairs, vocabulary_size)
    write_text(data, sentences, vocabulary_size)
    write_prepared(data, sentences, vocabulary_size)
    for tokens in batch_tokens:
        write_batches(data, tokens)


def sentence_pairs(pairs: int, vocabulary_size: int) -> list[Pair]:
    """Returns pairs of lists of random ids, without EOS.

    Source lengths are lognormal with mean 25, and target lengths are similar. All lengths are between 4 and 100.
    The ids follow Zipf's law.
    """
    random = np.random.default_rng(SEED)
    source = np.exp(random.normal(np.log(MEAN_LENGTH) - SPREAD**2 / 2, SPREAD, pairs))
    target = source * np.exp(random.normal(0.0, DIFFERENCE, pairs))

    def words(lengths: NDArray[np.float64]) -> list[list[int]]:
        whole = np.clip(np.rint(lengths), SHORTEST, LONGEST).astype(int)
        ranks = np.exp(random.random(whole.sum()) * np.log(vocabulary_size - FIRST_WORD)).astype(int) - 1
        return [ids.tolist() for ids in np.split(FIRST_WORD + ranks, np.cumsum(whole)[:-1])]

    return list(zip(words(source), words(target), strict=True))


def write_text(data: Path, sentences: Iterable[Pair], vocabulary_size: int) -> None:
    """Writes train.source, train.target and the list of words, words.txt. Id 7 is written as the word w7."""
    with (data / "train.source").open("w") as sources, (data / "train.target").open("w") as targets:
        for pair in sentences:
            for file, ids in zip((sources, targets), pair, strict=True):
                file.write(" ".join(f"w{i}" for i in ids) + "\n")
    (data / "words.txt").write_text("".join(f"w{i}\n" for i in range(FIRST_WORD, vocabulary_size)))


def write_prepared(data: Path, sentences: Iterable[Pair], vocabulary_size: int) -> None:
    """Writes shards and a manifest as `nmt prepare` does.

    The vocabulary file is empty, because the random ids do not stand for text.
    """
    from keras_nmt.pipelines.shards.manifest import VOCABULARY, Manifest
    from keras_nmt.pipelines.shards.records import length_histogram, write_shards
    from keras_nmt.pipelines.shards.splits import Split
    from keras_nmt.pipelines.sources.corpora import LanguagePair

    (data / VOCABULARY).write_bytes(b"")
    pairs = [([*source, EOS], [*target, EOS]) for source, target in sentences]
    shards = write_shards(data, "train", pairs, 8)
    split = Split(shards, length_histogram(data, shards), cleaning={}, origins=())
    digest = hashlib.sha256(b"").hexdigest()
    Manifest(data, LanguagePair("en", "de"), vocabulary_size, digest, {"train": split}, {}, {}).save()


def write_batches(data: Path, tokens: int) -> None:
    """Writes the first STORED_BATCHES batches of this program's training stream to one file.

    A batch has at most `tokens` tokens per side, padding included. The folder `data` must already contain the prepared
    data.
    """
    from keras_nmt.pipelines.streaming.options import StreamOptions
    from keras_nmt.pipelines.streaming.stream import training_stream

    stream = training_stream(data, StreamOptions(tokens, max_length=MAX_LENGTH, seed=SEED))
    arrays: dict[str, NDArray[np.int32]] = {}
    for i, (inputs, labels) in enumerate(stream.take(STORED_BATCHES).as_numpy_iterator()):
        batch = Batch(inputs["source"], inputs["target"], labels)
        arrays |= {f"{name}_{i}": array for name, array in batch._asdict().items()}
    np.savez(batches_file(data, tokens), **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    import_tensorflow()
    write_corpus(Path(sys.argv[1]), map(int, sys.argv[2:]))
