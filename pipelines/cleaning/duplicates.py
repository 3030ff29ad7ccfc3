"""Finds pairs that stand in the corpus twice, or almost, in memory that does not grow with it.

Each pair has fingerprints, computed where its chunk is cleaned: a digest of its text, a MinHash signature (Broder 1997)
of its neighbouring words cut into bands, whose pairs collide where they have a band in common (Leskovec et al., Mining
of Massive Datasets, 3.4), and one byte of each hash to estimate from how much two pairs share (Li and Koenig 2010).
Equal keys are then found in one column of all chunks after another, one range of keys at a time.
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
BANDS = 8  # of 8 hashes: of two pairs that share 0.9, 99 % have a band in common, of two that share 0.5, 3 %
KEYS_AT_ONCE = 1_000_000  # of one column, sorted in memory: about 130 MB
_COMPARED_AT_ONCE = 100_000  # sketches of 64 bytes, four times
_SEED = 1
_WORD = regex.compile(r"[\w\p{M}]+")  # with marks, which are half of the letters of some scripts
_INVISIBLE = regex.compile(r"\p{Default_Ignorable_Code_Point}+")
_MIXERS = np.random.Generator(np.random.PCG64(_SEED)).integers(1, 2**63, HASHES, dtype=np.uint64) | np.uint64(1)

Keys = NDArray[np.uint64]
Rows = NDArray[np.int64]


class Fingerprints(NamedTuple):
    """Of N pairs: a row of keys for exact text and one a band, and the sketches."""

    keys: Keys  # [1 + BANDS, N]
    sketches: NDArray[np.uint8]  # [N, HASHES]


def fingerprints(pairs: Sequence[tuple[str, str]]) -> Fingerprints:
    """Gives the fingerprints of cleaned pairs; a pair in another Unicode form has the same ones."""
    pairs = [(one_form(source), one_form(target)) for source, target in pairs]
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
    """Returns the words of a text in one form, without case and punctuation; the text itself where there are none."""
    return " ".join(_words(one_form(text))) or text


def one_form(text: str) -> str:
    """Returns the text in Unicode's form NFKC, without invisible characters: what a reader takes for the same text."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))


def _words(text: str) -> list[str]:
    found: list[str] = _WORD.findall(one_form(text.casefold()))  # folding takes some characters apart
    return found


def _word_pairs(text: str, side: str) -> list[str]:
    words = ["", *_words(text), ""]
    return [f"{side}{a} {b}" for a, b in pairwise(words)] if len(words) > 2 else [side + text]


# Over all chunks


class EqualKeys(NamedTuple):
    """Rows whose key an earlier row has, and the first row that has it; both ascending in `rows`."""

    rows: Rows
    first: Rows


def equal_keys(files: Sequence[Path], column: int, left_out: NDArray[np.bool_] | None = None) -> Iterator[EqualKeys]:
    """Yields the rows with equal keys in one column of the keys [1 + BANDS, N] of all chunks, range by range.

    Args:
        files: Of the chunks' keys, as `np.save` writes them; rows are counted through all of them. One is open at a
            time, as there may be more than a process may open.
        column: 0 for exact text, then one a band.
        left_out: Which rows are not looked at, [N].
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


def _later_rows(rows: Rows, keys: Keys) -> EqualKeys:
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    firsts = first[group]  # the index of the first of each row's key
    later = np.flatnonzero(firsts != np.arange(len(keys)))
    return EqualKeys(rows[later], rows[firsts[later]])


def similarity(files: Sequence[Path], found: EqualKeys) -> NDArray[np.float32]:
    """Estimates what share of their word pairs the rows have in common with the first ones, from 0 to 1."""
    estimated = np.zeros(len(found.rows), np.float32)
    for begin in range(0, len(estimated), _COMPARED_AT_ONCE):
        some = slice(begin, begin + _COMPARED_AT_ONCE)
        equal = _gather(files, found.rows[some]) == _gather(files, found.first[some])
        estimated[some] = equal.mean(axis=1, dtype=np.float32)
    return estimated


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
