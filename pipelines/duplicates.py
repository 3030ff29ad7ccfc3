"""Finds pairs that stand in the corpus twice, or almost, in memory that does not grow with it.

Each pair has fingerprints, computed where its chunk is cleaned: a digest of its text, a MinHash signature (Broder 1997)
of its neighbouring words cut into bands, whose pairs collide where they have a band in common (Leskovec et al., Mining
of Massive Datasets, 3.4), and one byte of each hash to estimate from how much two pairs share (Li and Koenig 2010).
Equal keys are then found in one column of all chunks after another, one range of keys at a time.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rensa
from numpy.typing import NDArray

HASHES = 64
BANDS = 8  # of 8 hashes: of two pairs that share 0.9, 99 % have a band in common, of two that share 0.5, 3 %
KEYS_AT_ONCE = 2_000_000  # of one column, sorted in memory: about 100 MB
_SEED = 1
_WORD = re.compile(r"\w+")
_MIXERS = np.random.Generator(np.random.PCG64(_SEED)).integers(1, 2**63, HASHES, dtype=np.uint64) | np.uint64(1)

Keys = NDArray[np.uint64]
Rows = NDArray[np.int64]


class Fingerprints(NamedTuple):
    """Of N pairs: a row of keys for exact text and one a band, and the sketches."""

    keys: Keys  # [1 + BANDS, N]
    sketches: NDArray[np.uint8]  # [N, HASHES]


def fingerprints(pairs: Sequence[tuple[str, str]]) -> Fingerprints:
    """Gives the fingerprints of cleaned pairs."""
    exact = digests([f"{source}\t{target}" for source, target in pairs])
    shingles = [[*_word_pairs(source, "<"), *_word_pairs(target, ">")] for source, target in pairs]
    signatures = np.array(rensa.RMinHash.digests_from_token_sets(shingles, HASHES, _SEED), np.uint64)
    signatures = signatures.reshape(-1, HASHES)
    with np.errstate(over="ignore"):
        bands = (signatures * _MIXERS).reshape(-1, BANDS, HASHES // BANDS).sum(axis=2, dtype=np.uint64)  # [N, BANDS]
    return Fingerprints(np.concatenate((exact[None], bands.T)), (signatures & np.uint64(0xFF)).astype(np.uint8))


def digests(texts: Sequence[str]) -> Keys:
    """Gives a number for each text that another has with a probability of 2^-64."""
    joined = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(joined, "<u8").astype(np.uint64)


def normalized(text: str) -> str:
    """Gives the words of a text without case and punctuation; the text itself where there are none."""
    return " ".join(_WORD.findall(text.casefold())) or text


def _word_pairs(text: str, side: str) -> list[str]:
    words = [side, *_WORD.findall(text.casefold()), side]
    return [f"{a} {b}" for a, b in pairwise(words)] if len(words) > 2 else [side + text]


# Over all chunks


class EqualKeys(NamedTuple):
    """Rows whose key an earlier row has, and the first row that has it; both ascending in `rows`."""

    rows: Rows
    first: Rows


def equal_keys(files: Sequence[Path], column: int) -> Iterator[EqualKeys]:
    """Yields the rows with equal keys in one column of the keys [1 + BANDS, N] of all chunks, range by range.

    Args:
        files: Of the chunks' keys, as `np.save` writes them; rows are counted through all of them.
        column: 0 for exact text, then one a band.
    """
    parts = [np.load(file, mmap_mode="r")[column] for file in files]
    total = sum(map(len, parts))
    starts = np.cumsum([0, *map(len, parts)])
    ranges = -(-total // KEYS_AT_ONCE)
    for i in range(ranges):
        low, high = (np.uint64(min((j << 64) // ranges, 2**64 - 1)) for j in (i, i + 1))
        chosen = [np.flatnonzero((part >= low) & ((part < high) | (i + 1 == ranges))) for part in parts]
        rows = np.concatenate([start + rows for start, rows in zip(starts, chosen, strict=False)])
        keys = np.concatenate([part[rows] for part, rows in zip(parts, chosen, strict=True)])
        yield _later_rows(rows, keys)


def _later_rows(rows: Rows, keys: Keys) -> EqualKeys:
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    firsts = first[group]  # the index of the first of each row's key
    later = np.flatnonzero(firsts != np.arange(len(keys)))
    return EqualKeys(rows[later], rows[firsts[later]])


def similarity(files: Sequence[Path], found: EqualKeys) -> NDArray[np.float32]:
    """Estimates what share of their word pairs the rows have in common with the first ones, from 0 to 1."""
    equal = _gather(files, found.rows) == _gather(files, found.first)
    return equal.mean(axis=1, dtype=np.float32) if len(found.rows) else np.zeros(0, np.float32)


def _gather(files: Sequence[Path], rows: Rows) -> NDArray[np.uint8]:
    """Gives the sketches of rows, [n, HASHES], chunk after chunk."""
    gathered = np.zeros((len(rows), HASHES), np.uint8)
    order = np.argsort(rows, kind="stable")
    done = start = 0
    for file in files:
        sketches = np.load(file, mmap_mode="r")
        end = int(np.searchsorted(rows, start + len(sketches), sorter=order))
        here = order[done:end]
        gathered[here] = sketches[rows[here] - start]
        done, start = end, start + len(sketches)
    return gathered
