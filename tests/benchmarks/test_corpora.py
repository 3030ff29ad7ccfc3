"""The corpus benchmark: its corpus, its two streams at toy size, and its figures."""

from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmarks import corpora
from benchmarks.data import stream_corpus
from benchmarks.measuring import EOS, PAD
from benchmarks.programs import stream_turn
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.shards.reading import read_tokens, verify_shards
from keras_nmt.pipelines.sources.corpora import open_corpus

TURN = {
    "tokens_per_second": 100.0,
    "tokens_per_cpu_second": 50.0,
    "padding_share": 0.03,
    "first_batch_seconds": 1.0,
    "first_batch_cpu_seconds": 0.5,
    "peak_memory_mib": 700.0,
}
OURS = TURN | {"resume_seconds": 2.0, "resume_cpu_seconds": 0.7}
TURNS = {
    "nmt": [OURS | {"tokens_per_second": 900.0, "peak_memory_mib": 810.0}, OURS | {"tokens_per_second": 300.0}],
    "per-example": [TURN, TURN | {"tokens_per_second": 50.0, "padding_share": 0.09}],
}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes 395 plain pairs, of which 20 have a tokenised version too, and 5 pairs that are only tokenised."""
    folder = tmp_path_factory.mktemp("text")
    pairs = list(islice(open_corpus("sample:tatoeba-en-de", stream_corpus.PAIR, split="dev"), 400))
    names = {
        "a/train": pairs[:20],
        "a/train.tok": pairs[:20],
        "b/train": pairs[20:395],
        "c/train-part.tok": pairs[395:],
    }
    for name, chosen in names.items():
        (folder / name).parent.mkdir(exist_ok=True)
        for side, language in enumerate(("en", "de")):
            (folder / f"{name}.{language}").write_bytes(b"".join(pair[side] + b"\n" for pair in chosen))
    (folder / "a/train.fr").write_text("rien\n")
    return folder


@pytest.fixture(scope="module")
def data(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus") / "data"
    stream_corpus.write_corpus(text, out, pairs=2000, vocabulary_size=400)
    return out


def test_each_pair_of_the_text_is_read_once(text: Path) -> None:
    source, target = stream_corpus.read_text(text)
    assert len(source) == len(target) == 400
    assert not set(source) & {"rien"}


def test_a_folder_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no files train….en and train….de"):
        stream_corpus.read_text(tmp_path)


def test_the_corpus_is_valid_prepared_data_without_repeated_records(data: Path) -> None:
    manifest = Manifest.load(data)
    verify_shards(manifest)
    shards = manifest.split("train").shards
    tokens = read_tokens(data, shards)
    assert len(tokens.lengths) == manifest.split("train").examples == 2000
    assert set(tokens.values[0][tokens.starts[1:, 0] - 1]) == {EOS}
    pairs = {tuple(np.split(tokens.values[1], tokens.starts[1:, 1])[row].tolist()) for row in range(200)}
    assert len(pairs) > 180  # without the changes, a fifth of 200 draws from 400 pairs would be repeated


@pytest.mark.parametrize(
    "open_stream", [stream_turn.stream_of_windows, pytest.param(stream_turn.stream_of_examples, marks=pytest.mark.slow)]
)
def test_both_streams_give_batches_of_the_contract(data: Path, open_stream: object) -> None:
    figures = stream_turn.consume(partial(open_stream, data, 2048), seconds=0.1)  # type: ignore[arg-type]
    assert figures["tokens_per_second"] > 0
    assert 0 < figures["padding_share"] < 0.5
    assert 0 < figures["tokens_per_batch"] <= 2 * 2048
    for inputs, labels in open_stream(data, 2048).take(3).as_numpy_iterator():  # type: ignore[operator]
        assert max(inputs["source"].size, labels.size) <= 2048
        assert np.array_equal(inputs["target"][:, 1:], np.where(labels[:, 1:] == PAD, PAD, labels[:, :-1]))


def test_a_resumed_stream_is_timed(data: Path) -> None:
    assert stream_turn.resumed(data, 2048, tokens_per_batch=3000)["resume_seconds"] > 0


def test_figures_are_medians_and_ratios_are_taken_within_a_round() -> None:
    figures = corpora.figures(TURNS)
    assert figures["stream_tokens_per_second"] == 600
    assert figures["peak_memory_mib"] == 810
    assert figures["ratio_to_per_example"] == 7.5
    assert figures["ratio_to_per_example_per_cpu_second"] == 1.0
    assert (figures["first_batch_seconds"], figures["resume_seconds"]) == (1.0, 2.0)


def test_the_table_has_a_line_for_each_program() -> None:
    *_, ours, theirs = corpora.table(TURNS)
    assert ours == "| nmt | 600 (300 to 900) | 50 | 3.0% | 1.00 s | 2.00 s | 810 |"
    assert theirs == "| per-example | 75 (50 to 100) | 50 | 6.0% | 1.00 s | cannot | 700 |"


def test_the_folder_of_the_text_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        corpora.read_options([])
    assert "--data" in capsys.readouterr().err
    assert corpora.read_options(["--data", "x"]).pairs == 4_500_000
