"""Apache Beam's local runners write the same data as local processes; needs the extra `beam`."""

from itertools import islice
from pathlib import Path

import pytest

from keras_nmt.pipelines.preparation.prepare import PreparationOptions, prepare
from keras_nmt.pipelines.preparation.workers import BeamWorkers, LocalWorkers, Workers
from keras_nmt.pipelines.shards.manifest import MANIFEST
from keras_nmt.pipelines.sources.corpora import LanguagePair, open_corpus

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("apache_beam")

EN_DE = LanguagePair("en", "de")
SAMPLE = "sample:tatoeba-en-de"


def prepared(folder: Path, workers: Workers) -> dict[str, bytes]:
    corpus = folder / "corpus.tsv"
    pairs = list(islice(open_corpus(SAMPLE, EN_DE), 900))
    corpus.write_bytes(b"".join(b"%s\t%s\n" % pair[:2] for pair in [*pairs, *pairs[:50]]))
    options = PreparationOptions(EN_DE, (f"tsv:{corpus}",), (SAMPLE,), folder / "out", vocabulary_size=400, shards=20)
    prepare(options, workers=workers)
    where = str(folder).encode()
    return {
        path.name: path.read_bytes().replace(where, b"")
        for path in options.out.iterdir()
        if path.name != MANIFEST  # contains the modification time of the corpus
    }


@pytest.mark.parametrize("mode", ["in_memory", "multi_threading", "multi_processing"])
def test_the_local_runners_write_the_same_bytes_as_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr("keras_nmt.pipelines.preparation.phases.clean.CHUNK_PAIRS", 100)
    (tmp_path / "one").mkdir()
    (tmp_path / "beam").mkdir()
    expected = prepared(tmp_path / "one", LocalWorkers(1))
    runner = BeamWorkers(["--runner=DirectRunner", "--direct_num_workers=2", f"--direct_running_mode={mode}"])
    assert prepared(tmp_path / "beam", runner) == expected
