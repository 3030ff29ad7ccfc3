"""Fourth phase: trains the SentencePiece vocabulary on a sample of the kept pairs, or copies the user's vocabulary."""

from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np

from keras_nmt.pipelines.atomic_files import write_atomically
from keras_nmt.pipelines.cleaning.filters import TextPair
from keras_nmt.pipelines.preparation.chunk_files import read_pairs, write_pairs
from keras_nmt.pipelines.preparation.job import KEPT, Job
from keras_nmt.pipelines.preparation.state import Preparation
from keras_nmt.pipelines.vocabulary.exact import CHARACTERS, PIECES, WORDS, exact_model, most_frequent_characters
from keras_nmt.pipelines.vocabulary.size import train_feasible_model
from keras_nmt.pipelines.vocabulary.training import train_model
from keras_nmt.pipelines.vocabulary.words import frequent_words, read_words, word_model

SAMPLE_PAIRS = 250_000  # a larger sample hardly changes the vocabulary
SAMPLE_CHARACTERS = 200_000_000  # limits memory if lines are long: the trainer needs about 20 bytes per character


def learn_vocabulary(preparation: Preparation) -> None:
    """Writes the vocabulary to the working folder, unless an interrupted run has written it already.

    A new vocabulary is trained on a sample of the kept pairs. The sample consists of the pairs with the lowest digests,
    so it does not depend on the order of the text.

    Raises:
        DataError: The text is too small for the vocabulary size, or has too many characters.
    """
    job, given = preparation.job, preparation.options.vocabulary
    if job.vocabulary.exists():
        return
    if given:
        model = word_model(read_words(given)) if preparation.options.units == WORDS else given.read_bytes()
    else:
        below = min(2**64 - 1, (SAMPLE_PAIRS << 64) // preparation.kept)
        advance = preparation.counter("vocabulary", preparation.pairs)
        preparation.workers.run(partial(sample_chunk, job, below), preparation.starts, advance)
        model = _train(preparation)
    write_atomically(job.vocabulary, model)


def _train(preparation: Preparation) -> bytes:
    """Trains on the sample. If the sample has too many characters, uses only every n-th pair."""
    options, recipe = preparation.options, preparation.options.recipe
    if options.units == WORDS:
        return word_model(frequent_words(recipe.vocabulary_text(_sample(preparation)), options.vocabulary_size))
    if options.units != PIECES:
        text = recipe.vocabulary_text(_sample(preparation)) if options.units == CHARACTERS else ()
        return exact_model(most_frequent_characters(text, options.vocabulary_size))
    characters = sum(map(len, recipe.vocabulary_text(_sample(preparation))))
    every = max(1, -(-characters // SAMPLE_CHARACTERS))
    symbols = recipe.symbols(_sample(preparation))

    def train(size: int) -> bytes:
        pairs = _sample(preparation) if every == 1 else islice(_sample(preparation), 0, None, every)
        return train_model(
            recipe.vocabulary_text(pairs),
            size,
            tags=preparation.job.languages.tags,
            symbols=symbols,
            normalization=options.normalization or recipe.normalization,
            keeps_whitespace=recipe.keeps_text,
        )

    return train_feasible_model(train, options.vocabulary_size, characters=characters // every)


def _sample(preparation: Preparation) -> Iterator[TextPair]:
    chunks = range(len(preparation.chunks))
    return chain.from_iterable(read_pairs(_sample_file(preparation.job, chunk)) for chunk in chunks)


def sample_chunk(job: Job, below: int, chunk: tuple[int, int]) -> int:
    """Writes those kept pairs of a chunk that have a digest of at most `below`.

    Args:
        job: The settings of the preparation.
        below: The highest digest in the sample.
        chunk: The chunk's number, and the index of its first pair among the cleaned pairs of all chunks.

    Returns:
        The number of cleaned pairs read.
    """
    number, start = chunk
    done = _sample_file(job, number)
    digest = np.load(job.file(number, "keys.npy"), mmap_mode="r")[0]
    if not done.exists():
        pairs = read_pairs(job.file(number, "text.zst"))
        chosen = (digest <= np.uint64(below)) & (job.fates(start, len(pairs)) == KEPT)
        write_pairs(done, [pairs[i] for i in np.flatnonzero(chosen)])
    return len(digest)


def _sample_file(job: Job, number: int) -> Path:
    return job.file(number, "sample.zst")
