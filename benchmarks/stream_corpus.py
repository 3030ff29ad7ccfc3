"""The corpus of the stream's benchmark: real pairs, repeated with small differences to any number, as prepared data.

Lengths and words are those of the text. Each copy of a pair has another id in one place of its target, so that no two
records are the same; the ids are changed where they lie encoded, which is much faster than to encode text again.
"""

import gzip
import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from app.quiet import import_tensorflow
from benchmarks.measuring import EOS
from pipelines.corpora import LanguagePair
from pipelines.manifest import VOCABULARY, Manifest, Shard, Split
from pipelines.records import framed, record
from pipelines.vocabulary import Vocabulary, train_vocabulary

PAIR = LanguagePair("en", "de")
VOCABULARY_SIZE, VOCABULARY_SENTENCES = 32_000, 200_000
PAIRS_A_SHARD, FEWEST_SHARDS, MOST_SHARDS = 50_000, 8, 256  # as `nmt prepare` has them
LONGEST = 256  # tokens of a side, EOS among them
ENCODED_AT_ONCE = 8192
LEAST_LONG, LEAST_LONGER = 1 << 7, 1 << 14  # the ids between take two bytes
SEED = 1


class Templates(NamedTuple):
    """The records of the pairs of a text, without framing."""

    data: list[bytes]
    changing: list[int]  # where in each record two bytes may be changed, 0 if nowhere
    lengths: NDArray[np.int32]  # [N, 2]


def write_corpus(text: Path, out: Path, pairs: int, vocabulary_size: int = VOCABULARY_SIZE) -> Manifest:
    """Writes so many pairs made of all English-German training text in a folder, and gives their manifest."""
    sources, targets = read_text(text)
    step = max(1, 2 * len(sources) // VOCABULARY_SENTENCES)
    vocabulary = train_vocabulary((*sources[::step], *targets[::step]), vocabulary_size)
    out.mkdir(parents=True)
    vocabulary.save(out / VOCABULARY)
    templates = templates_of(encode(vocabulary, sources), encode(vocabulary, targets))
    shards, longest = [], np.zeros(LONGEST + 1, np.int64)
    for file, count in shard_sizes(pairs):
        shard, lengths = write_shard(out, file, count, templates, vocabulary_size)
        shards.append(shard)
        longest += np.bincount(lengths.max(axis=1), minlength=LONGEST + 1)
    split = Split(tuple(shards), tuple(longest.tolist()), cleaning={}, origins=())
    Manifest(out, PAIR, vocabulary.size, vocabulary.digest, {"train": split}, {}, {}).save()
    return Manifest.load(out)


def read_text(folder: Path) -> tuple[list[str], list[str]]:
    """The lines of all files train….en and train….de below a folder; of tokenised ones only if they lie there alone.

    Raises:
        FileNotFoundError: There are none.
    """
    names = {str(path).removesuffix(".gz").removesuffix(".en"): path for path in sorted(folder.rglob("train*.en*"))}
    plain = [name for name in names if not (name.endswith(".tok") and name.removesuffix(".tok") in names)]
    sides: tuple[list[str], list[str]] = ([], [])
    for name in plain:
        target = Path(str(names[name]).replace(".en", ".de"))
        if target.is_file():
            sides[0].extend(read_lines(names[name]))
            sides[1].extend(read_lines(target))
    if not sides[0]:
        raise FileNotFoundError(f"{folder} has no files train….en and train….de")
    return sides


def read_lines(path: Path) -> list[str]:
    """The lines of a file that may be compressed."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode().split("\n")[:-1]


def encode(vocabulary: Vocabulary, sentences: Sequence[str]) -> Iterator[list[int]]:
    """The ids of each sentence, EOS behind them."""
    for start in range(0, len(sentences), ENCODED_AT_ONCE):
        for ids in vocabulary.encode(tf.constant(sentences[start : start + ENCODED_AT_ONCE])).to_list():
            yield [*ids, EOS]


def templates_of(sources: Iterator[list[int]], targets: Iterator[list[int]]) -> Templates:
    """Makes the records of all pairs that are not too long."""
    data, changing, lengths = [], [], []
    for source, target in zip(sources, targets, strict=True):
        if max(len(source), len(target)) <= LONGEST:
            data.append(record(source, target)[12:-4])
            changing.append(last_two_bytes(target, len(data[-1])))
            lengths.append((len(source), len(target)))
    return Templates(data, changing, np.array(lengths, np.int32))


def last_two_bytes(target: Sequence[int], end: int) -> int:
    """Where in a record, which ends in its target, the last id lies that takes two bytes; 0 if there is none."""
    for id_ in reversed(target):
        end -= 1 if id_ < LEAST_LONG else 2 if id_ < LEAST_LONGER else 3
        if LEAST_LONG <= id_ < LEAST_LONGER:
            return end
    return 0


def shard_sizes(pairs: int) -> list[tuple[str, int]]:
    """The names of the shards, and how many pairs each gets."""
    shards = min(max(-(-pairs // PAIRS_A_SHARD), FEWEST_SHARDS), MOST_SHARDS)
    return [(f"train-{i:05d}-of-{shards:05d}.tfrecord", pairs // shards + (i < pairs % shards)) for i in range(shards)]


def write_shard(
    out: Path, file: str, pairs: int, templates: Templates, vocabulary_size: int
) -> tuple[Shard, NDArray[np.int32]]:
    """Writes records of pairs drawn at random, each with a change of its own; gives their lengths too."""
    random = np.random.default_rng([SEED, int(file.split("-")[1])])
    rows = random.integers(0, len(templates.data), pairs)
    ids = random.integers(LEAST_LONG, max(LEAST_LONG + 1, min(vocabulary_size, LEAST_LONGER)), pairs)
    records = []
    for row, id_ in zip(rows.tolist(), ids.tolist(), strict=True):
        data, place = templates.data[row], templates.changing[row]
        if place:
            data = b"".join((data[:place], bytes((id_ & 127 | 128, id_ >> 7)), data[place + 2 :]))
        records.append(framed(data))
    content = b"".join(records)
    (out / file).write_bytes(content)
    lengths = templates.lengths[rows]
    source_tokens, target_tokens = lengths.sum(axis=0, dtype=np.int64).tolist()
    longest_source, longest_target = lengths.max(axis=0).tolist()
    digest = hashlib.sha256(content).hexdigest()
    shard = Shard(file, pairs, source_tokens, target_tokens, longest_source, longest_target, len(content), digest)
    np.save(out / shard.lengths_file, lengths)
    return shard, lengths


if __name__ == "__main__":
    import_tensorflow()
    write_corpus(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
