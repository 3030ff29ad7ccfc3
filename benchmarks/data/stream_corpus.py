"""Builds the corpus of the stream benchmark: prepared data with real pairs, repeated any number of times.

Lengths and words are those of a real text. In each copy of a pair, one id of the target is replaced by a random id, so
that few records are equal. The id is replaced within the serialised record, which is much faster than encoding and
serialising the pair again.
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

from benchmarks.measuring import EOS
from keras_nmt.app.runtime.tensorflow_start import import_tensorflow
from keras_nmt.pipelines.preparation.job import CHUNK_PAIRS
from keras_nmt.pipelines.preparation.prepare import default_shards
from keras_nmt.pipelines.shards.buckets import Lengths
from keras_nmt.pipelines.shards.lanes import deal
from keras_nmt.pipelines.shards.manifest import VOCABULARY, Manifest
from keras_nmt.pipelines.shards.records import framed, length_histogram, record
from keras_nmt.pipelines.shards.splits import Shard, Split
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary, train_vocabulary

PAIR = LanguagePair("en", "de")
VOCABULARY_SIZE, VOCABULARY_SENTENCES = 32_000, 200_000
LONGEST = 256  # maximum number of tokens per side, EOS included
ENCODED_AT_ONCE = 8192
TWO_BYTES, THREE_BYTES = 1 << 7, 1 << 14  # smallest ids that take two and three bytes as a varint
SEED = 1


class Templates(NamedTuple):
    """The sentence pairs of a text as serialised records, without TFRecord framing.

    Attributes:
        data: The serialised records.
        changing: For each record, the offset of a two-byte id that may be replaced, or 0 if there is none.
        lengths: For each record, the numbers of source and target tokens, int32 [N, 2].
    """

    data: list[bytes]
    changing: list[int]
    lengths: Lengths


def write_corpus(text: Path, out: Path, pairs: int, vocabulary_size: int = VOCABULARY_SIZE) -> Manifest:
    """Writes prepared data with `pairs` pairs to the new folder `out`, and returns the manifest.

    Vocabulary and pairs are built from all English-German training text in the folder `text` (see `read_text`).
    """
    sources, targets = read_text(text)
    step = max(1, 2 * len(sources) // VOCABULARY_SENTENCES)
    vocabulary = train_vocabulary((*sources[::step], *targets[::step]), vocabulary_size)
    out.mkdir(parents=True)
    vocabulary.save(out / VOCABULARY)
    templates = make_templates(encode(vocabulary, sources), encode(vocabulary, targets))
    names, dealt = deal_rows(templates.lengths, pairs)
    shards = [write_shard(out, name, rows, templates, vocabulary_size) for name, rows in zip(names, dealt, strict=True)]
    split = Split(tuple(shards), length_histogram(out, shards), cleaning={}, origins=())
    Manifest(out, PAIR, vocabulary.size, vocabulary.digest, {"train": split}, {}, {}).save()
    return Manifest.load(out)


def read_text(folder: Path) -> tuple[list[str], list[str]]:
    """Returns the English and the German sentences of all files train….en and train….de in a folder, at any depth.

    Skips a tokenised file (….tok.en) if the folder also has the same file without .tok. Skips an English file without
    a German file.

    Raises:
        FileNotFoundError: No sentences are found.
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
    """Returns the lines of a file. A file that ends in .gz is decompressed."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode().split("\n")[:-1]


def encode(vocabulary: Vocabulary, sentences: Sequence[str]) -> Iterator[list[int]]:
    """Yields the ids of each sentence, with EOS at the end."""
    for start in range(0, len(sentences), ENCODED_AT_ONCE):
        for ids in vocabulary.encode(tf.constant(sentences[start : start + ENCODED_AT_ONCE])).to_list():
            yield [*ids, EOS]


def make_templates(sources: Iterator[list[int]], targets: Iterator[list[int]]) -> Templates:
    """Serialises all pairs that have at most LONGEST tokens on each side, and skips longer pairs."""
    data, changing, lengths = [], [], []
    for source, target in zip(sources, targets, strict=True):
        if max(len(source), len(target)) <= LONGEST:
            data.append(record(source, target)[12:-4])  # without the framing: 12 bytes before, 4 after
            changing.append(last_two_bytes(target, len(data[-1])))
            lengths.append((len(source), len(target)))
    return Templates(data, changing, np.array(lengths, np.int32))


def last_two_bytes(target: Sequence[int], end: int) -> int:
    """Returns the offset of the last target id that takes two bytes, or 0 if no id takes two bytes.

    Args:
        target: Target ids, which are the last bytes of a serialised record.
        end: Length of the record in bytes.
    """
    for id_ in reversed(target):
        end -= 1 if id_ < TWO_BYTES else 2 if id_ < THREE_BYTES else 3
        if TWO_BYTES <= id_ < THREE_BYTES:
            return end
    return 0


def deal_rows(lengths: Lengths, pairs: int) -> tuple[list[str], list[NDArray[np.int32]]]:
    """Returns the names of the shards, and for each shard the index of the template of each pair.

    A template is a serialised pair of real sentences. A random template is drawn for each pair. Chunk by chunk, the
    pairs are divided among the shards, as in `nmt prepare`.

    Args:
        lengths: Source and target length of each template, int32 [N, 2].
        pairs: Number of pairs in all shards.
    """
    random = np.random.default_rng(SEED)
    count = default_shards(pairs)
    rows = random.integers(0, len(lengths), pairs, np.int32)
    shard_of = np.empty(pairs, np.uint16)
    for i, start in enumerate(range(0, pairs, CHUNK_PAIRS)):
        chunk = slice(start, start + CHUNK_PAIRS)
        shard_of[chunk] = deal(lengths[rows[chunk]], count, longest=LONGEST, seed=0, chunk=i)
    order = np.argsort(shard_of, kind="stable")
    ends = np.cumsum(np.bincount(shard_of, minlength=count))
    names = [f"train-{i:05d}-of-{count:05d}.tfrecord" for i in range(count)]
    return names, np.split(rows[order], ends[:-1])


def write_shard(out: Path, file: str, rows: NDArray[np.int32], templates: Templates, vocabulary_size: int) -> Shard:
    """Writes the shard `file` and its lengths to the folder `out`.

    Args:
        out: The folder of the prepared data.
        file: Name of the shard.
        rows: For each record of the shard, the index of the template. One id of the template is replaced by a random
            id if `templates.changing` allows it.
        templates: All templates.
        vocabulary_size: Random ids are less than this number.
    """
    random = np.random.default_rng([SEED, int(file.split("-")[1])])
    ids = random.integers(TWO_BYTES, max(TWO_BYTES + 1, min(vocabulary_size, THREE_BYTES)), len(rows))
    records = []
    for row, id_ in zip(rows.tolist(), ids.tolist(), strict=True):
        data, place = templates.data[row], templates.changing[row]
        if place:
            data = b"".join((data[:place], bytes((id_ & 127 | 128, id_ >> 7)), data[place + 2 :]))
        records.append(framed(data))
    content = b"".join(records)
    (out / file).write_bytes(content)
    lengths = templates.lengths[rows]
    shard = Shard.of(file, lengths, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    np.save(out / shard.lengths_file, lengths)
    return shard


if __name__ == "__main__":
    import_tensorflow()
    write_corpus(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
