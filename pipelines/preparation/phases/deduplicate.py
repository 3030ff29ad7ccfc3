"""Third phase: finds exact and near duplicates among the fingerprints of all chunks, and applies the limit."""

import shutil
from functools import partial

import numpy as np
from numpy.typing import NDArray

from keras_nmt.pipelines.cleaning.duplicates import BANDS, equal_keys, similarity
from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.preparation.chunk_files import write_array
from keras_nmt.pipelines.preparation.job import BEYOND_LIMIT, DUPLICATE, KEPT, NEAR_DUPLICATE, Job
from keras_nmt.pipelines.preparation.state import Preparation
from keras_nmt.pipelines.shards.splits import LEAST_WEIGHT, NO_USABLE_WEIGHT


def deduplicate(preparation: Preparation) -> None:
    """Decides for each cleaned pair whether it is kept, and writes the decisions on all pairs to `Job.removed`.

    Key column 0 has the digests of the exact text, and the other key columns have the MinHash bands. First, exact
    duplicates are found. Then the bands of the other pairs are compared to find near duplicates. If the options have a
    limit, only that many pairs are kept: the first ones of the pairs that are left.

    Raises:
        DataError: No pair is left, or the loss weights of all pairs that are left are too small to learn from.
    """
    job, options, pairs = preparation.job, preparation.options, preparation.pairs
    exact = [0] * ("duplicate" not in job.cleaning.skip)
    bands = [*range(1, 1 + BANDS)] * ("near_duplicate" not in job.cleaning.skip)
    advance = preparation.counter("duplicates", len(exact) + len(bands))
    fates = np.full(pairs, KEPT, np.uint8)
    for columns, fate in ((exact, DUPLICATE), (bands, NEAR_DUPLICATE)):
        preparation.workers.run(partial(find_equal, job, len(preparation.chunks), pairs), columns, advance)
        for column in columns:
            fates[_read_equal(job, column)] = fate
    if options.limit is not None:
        kept = np.flatnonzero(fates == KEPT)
        fates[kept[options.limit :]] = BEYOND_LIMIT
    write_array(job.removed, fates)
    preparation.check_some_left(preparation.kept)
    _check_usable_weights(preparation, fates)


def _check_usable_weights(preparation: Preparation, fates: NDArray[np.uint8]) -> None:
    """Raises a `DataError` if the loss weights of all kept pairs are too small to learn from."""
    for chunk, (number, start) in zip(preparation.chunks, preparation.starts, strict=True):
        kept = fates[start : start + chunk.pairs] == KEPT
        weights = np.load(preparation.job.file(number, "weights.npy")) if chunk.weighted else np.ones(chunk.pairs)
        if (weights[kept] >= LEAST_WEIGHT).any():
            return
    shutil.rmtree(preparation.job.work)  # resuming would fail again
    raise DataError(NO_USABLE_WEIGHT)


def find_equal(job: Job, chunks: int, pairs: int, column: int) -> int:
    """Writes the indices of all cleaned pairs whose key in one key column equals the key of an earlier pair.

    If the column is a band, only pairs that are also similar enough to that earlier pair are written
    (`CleaningOptions.near_duplicates`).

    Args:
        job: The settings of the preparation.
        chunks: The number of chunks.
        pairs: The number of cleaned pairs of all chunks.
        column: The key column: 0 for the exact text, 1 and above for the bands.

    Returns:
        1, the number of columns that are finished.
    """
    done = job.work / f"equal-{column}.npy"
    if not done.exists():
        keys, sketches = ([job.file(i, f"{name}.npy") for i in range(chunks)] for name in ("keys", "sketches"))
        rows = []
        for found in equal_keys(keys, column, _exact_duplicates(job, pairs) if column else None):
            alike = column == 0 or similarity(sketches, found) >= job.cleaning.near_duplicates
            rows.append(found.rows[np.broadcast_to(alike, found.rows.shape)])
        write_array(done, np.concatenate(rows) if rows else np.zeros(0, np.int64))
    return 1


def _read_equal(job: Job, column: int) -> NDArray[np.int64]:
    """Returns the indices of the pairs that `find_equal` found."""
    return np.array(np.load(job.work / f"equal-{column}.npy"))


def _exact_duplicates(job: Job, pairs: int) -> NDArray[np.bool_] | None:
    """Returns a mask of the exact duplicates, bool [pairs], or None if exact duplicates are kept."""
    path = job.work / "equal-0.npy"
    if not path.exists():
        return None
    marked = np.zeros(pairs, bool)
    marked[np.load(path)] = True
    return marked
