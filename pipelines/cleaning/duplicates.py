"""Finds exact and near duplicates of pairs, in memory that does not grow with the corpus.

When a chunk of the corpus is cleaned, each pair gets three kinds of fingerprints:

- a digest of its text;
- the keys of the bands of its MinHash signature (Broder 1997). The signature is computed from the word bigrams of the
  pair and cut into bands. Similar pairs are likely to have at least one band in common (Leskovec et al., Mining of
  Massive Datasets, 3.4);
- a sketch, which consists of one byte of each MinHash. Two sketches are enough to estimate the similarity of two pairs
  (Li and Koenig 2010).

The digests form a column of keys, and so do the keys of each band. When all chunks are cleaned, each column is searched
for equal keys. To save memory, the search holds only the keys of one range of values at a time.
"""

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import regex
import rensa
from numpy.typing import NDArray

HASHES = 64
BANDS = 8  # of 8 hashes each: two pairs share a band with probability 99 % at similarity 0.9, and 3 % at 0.5
KEYS_AT_ONCE = 1_000_000  # keys of a column sorted in memory at once: about 130 MB
_COMPARED_AT_ONCE = 100_000  # pairs of sketches that are compared in memory at once: about 26 MB
_SEED = 1
_WORD = regex.compile(r"[\w\p{M}]+")  # combining marks are included, since they distinguish words in some scripts
_INVISIBLE = regex.compile(r"\p{Default_Ignorable_Code_Point}+")
_MIXERS = np.random.Generator(np.random.PCG64(_SEED)).integers(1, 2**63, HASHES, dtype=np.uint64) | np.uint64(1)

FingerprintKeys = NDArray[np.uint64]
PairNumbers = NDArray[np.int64]


class Fingerprints(NamedTuple):
    """The fingerprints of N pairs.

    Attributes:
        keys: uint64 [1 + BANDS, N], the digest of the exact text, followed by the key of each band.
        sketches: uint8 [N, HASHES], the lowest byte of each MinHash.
    """

    keys: FingerprintKeys
    sketches: NDArray[np.uint8]


def fingerprints(pairs: Sequence[tuple[str, str]]) -> Fingerprints:
    """Computes the fingerprints of cleaned pairs. Texts with equal `canonical_form` have equal fingerprints."""
    pairs = [(canonical_form(source), canonical_form(target)) for source, target in pairs]
    exact = digests([f"{source}\t{target}" for source, target in pairs])
    shingles = [[*_word_pairs(source, "<"), *_word_pairs(target, ">")] for source, target in pairs]
    signatures = np.array(rensa.RMinHash.digests_from_token_sets(shingles, HASHES, _SEED), np.uint64)
    signatures = signatures.reshape(-1, HASHES)
    with np.errstate(over="ignore"):
        bands = (signatures * _MIXERS).reshape(-1, BANDS, HASHES // BANDS).sum(axis=2, dtype=np.uint64)  # [N, BANDS]
    return Fingerprints(np.concatenate((exact[None], bands.T)), (signatures & np.uint64(0xFF)).astype(np.uint8))


def digests(texts: Sequence[str]) -> FingerprintKeys:
    """Returns a 64-bit digest of each text."""
    joined = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(joined, "<u8").astype(np.uint64)


def normalized(text: str) -> str:
    """Returns the words of a text in lower case and without punctuation. Returns a text without words unchanged."""
    return " ".join(_words(canonical_form(text))) or text


def canonical_form(text: str) -> str:
    """Returns the text in form NFKC without invisible characters, so that texts that look the same become equal."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))


def _words(text: str) -> list[str]:
    found: list[str] = _WORD.findall(canonical_form(text.casefold()))  # case folding decomposes some characters
    return found


def _word_pairs(text: str, side: str) -> list[str]:
    words = ["", *_words(text), ""]
    return [f"{side}{a} {b}" for a, b in pairwise(words)] if len(words) > 2 else [side + text]


class EqualKeys(NamedTuple):
    """The rows whose key also occurs in an earlier row. A row is the index of a pair.

    Attributes:
        rows: The rows that have the same key as an earlier row, ascending.
        first: For each of these rows, the first row that has the same key.
    """

    rows: PairNumbers
    first: PairNumbers


def equal_keys(files: Sequence[Path], column: int, left_out: NDArray[np.bool_] | None = None) -> Iterator[EqualKeys]:
    """Yields the rows with equal keys in one column of all chunks, for one range of key values after another.

    A row is the index of a pair. The pairs of all files are numbered consecutively.

    Args:
        files: The files with the key arrays of the chunks. Only one file is open at a time, since there may be more
            files than a process can open.
        column: The column of keys: 0 for the exact text, 1 and above for the bands.
        left_out: A mask of the rows to ignore, bool [N].
    """
    starts = np.cumsum([0, *(np.load(file, mmap_mode="r").shape[1] for file in files)])
    ranges = -(-int(starts[-1]) // KEYS_AT_ONCE)
    for i in range(ranges):
        low, high = (np.uint64(min((j << 64) // ranges, 2**64 - 1)) for j in (i, i + 1))
        all_rows, all_keys = [], []
        for file, start in zip(files, starts, strict=False):
            keys = np.load(file, mmap_mode="r")[column]
            chosen = (keys >= low) & ((keys < high) | (i + 1 == ranges))
            if left_out is not None:
                chosen &= ~left_out[start : start + len(keys)]
            rows = np.flatnonzero(chosen)
            all_rows.append(start + rows)
            all_keys.append(keys[rows])
        yield _later_rows(np.concatenate(all_rows), np.concatenate(all_keys))


def _later_rows(rows: PairNumbers, keys: FingerprintKeys) -> EqualKeys:
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    firsts = first[group]  # the index of the first row with the same key
    later = np.flatnonzero(firsts != np.arange(len(keys)))
    return EqualKeys(rows[later], rows[firsts[later]])


def similarity(files: Sequence[Path], found: EqualKeys) -> NDArray[np.float32]:
    """Estimates the similarity of each row to the first row with the same key, 0 to 1.

    The similarity of two pairs is the Jaccard index of their word bigrams. It is estimated from the sketches.
    """
    estimated = np.zeros(len(found.rows), np.float32)
    for begin in range(0, len(estimated), _COMPARED_AT_ONCE):
        some = slice(begin, begin + _COMPARED_AT_ONCE)
        equal = _gather(files, found.rows[some]) == _gather(files, found.first[some])
        estimated[some] = equal.mean(axis=1, dtype=np.float32)
    return estimated


def _gather(files: Sequence[Path], rows: PairNumbers) -> NDArray[np.uint8]:
    """Returns the sketches of rows, [n, HASHES]; opens one file at a time."""
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
