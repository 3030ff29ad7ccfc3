"""Small prepared data: real data from the bundled sample, and synthetic data with recognisable pairs."""

import fcntl
import os
import random
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import pytest

from keras_nmt.pipelines.preparation.prepare import PreparationOptions, prepare
from keras_nmt.pipelines.shards.manifest import VOCABULARY, Manifest
from keras_nmt.pipelines.shards.records import length_histogram, write_shards
from keras_nmt.pipelines.shards.splits import Split
from keras_nmt.pipelines.sources.corpora import LanguagePair, open_corpus
from keras_nmt.pipelines.vocabulary.tokenizer import EOS, Vocabulary, train_vocabulary

EN_DE = LanguagePair("en", "de")
FIRST_ID = 1000  # synthetic pair i is FIRST_ID + i, followed by filler
FILLER = 9

MakeData = Callable[..., Path]


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    pairs = islice(open_corpus("sample:tatoeba-en-de", EN_DE, split="dev"), 500)
    return train_vocabulary((side.decode() for pair in pairs for side in pair[:2]), 512)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared by the first test process that needs it; read-only."""
    own = tmp_path_factory.getbasetemp()
    out = (own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own) / "prepared"
    with out.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.exists():
            sample = "sample:tatoeba-en-de"
            prepare(PreparationOptions(EN_DE, (sample,), (sample,), out, vocabulary_size=800, limit=6000))
    return out


@pytest.fixture(scope="session")
def make_data(vocabulary: Vocabulary) -> MakeData:
    """Returns a function that writes data with pairs of given (source, target) lengths, EOS included."""

    def make(data_dir: Path, lengths: Sequence[tuple[int, int]], shards: int = 3) -> Path:
        data_dir.mkdir(parents=True)
        vocabulary.save(data_dir / VOCABULARY)
        pairs = [(_ids(i, source), _ids(i, target)) for i, (source, target) in enumerate(lengths)]
        random.Random(0).shuffle(pairs)
        written = write_shards(data_dir, "train", pairs, shards)
        split = Split(written, length_histogram(data_dir, written), {}, ())
        Manifest(data_dir, EN_DE, vocabulary.size, vocabulary.digest, {"train": split}, {}, {}).save()
        return data_dir

    return make


def _ids(i: int, length: int) -> list[int]:
    return [FIRST_ID + i, *[FILLER] * (length - 2), EOS]
