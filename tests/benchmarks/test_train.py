"""The training benchmark: its figures, its options, and this program at toy size."""

import argparse
import gc
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import measuring, train
from benchmarks.data import training_corpus as corpus
from benchmarks.measuring import PAD, StepClock, read_batches
from benchmarks.programs import nmt_train
from benchmarks.train import Turn, TurnResult

PAIRS, VOCABULARY_SIZE, TOKENS = 300, 64, 832


def turn_result(program: str, precision: str, number: int, speed: float, memory: float = 5.0) -> TurnResult:
    return TurnResult(Turn(program, precision, 4096, number), speed, speed / 2, memory)


RESULTS = [
    turn_result("nmt", "bfloat16", 0, 200.0, 3.0),
    turn_result("nmt", "bfloat16", 1, 90.0, 3.5),
    turn_result("nmt", "bfloat16", 2, 210.0, 3.2),
    turn_result("hf-marian", "bfloat16", 0, 100.0, 6.0),
    turn_result("hf-marian", "bfloat16", 1, 45.0, 5.5),
    turn_result("hf-marian", "bfloat16", 2, 100.0, 5.0),
    turn_result("keras-hub", "bfloat16", 0, 160.0, 7.0),
    turn_result("keras-hub", "bfloat16", 1, 30.0, 7.0),
    turn_result("nmt", "float32", 0, 120.0, 4.0),
    turn_result("keras-hub", "float32", 0, 80.0, 7.0),
    turn_result("keras-hub", "float32", 1, 50.0, 7.0),
]


def test_the_ratio_is_the_median_of_the_rounds_for_the_fastest_peer():
    result = train.summary(RESULTS, ["bfloat16", "float32"])
    # keras-hub: 1.25 and 3.0 in bfloat16, 2.5 and 1.8 in float32; hf-marian: 2.0, 2.0 and 2.1
    assert result["ratio_to_best_peer"] == {"4096": 2.0}
    assert result["best_peer"] == {"4096": "hf-marian bfloat16"}
    assert result["target_tokens_per_second"] == {"4096": 200.0}
    assert result["target_tokens_per_cpu_second"] == {"4096": 100.0}
    assert result["peak_memory_gib"] == {"4096": 3.5}
    assert result["leanest_peer_gib"] == {"4096": 6.0}


def test_a_peer_in_bfloat16_does_not_compete_with_float32():
    result = train.summary(RESULTS, ["bfloat16", "float32"])["float32"]
    assert result["ratio_to_best_peer"] == {"4096": 1.5}
    assert result["best_peer"] == {"4096": "keras-hub float32"}


def test_a_faster_peer_in_float32_competes_with_bfloat16():
    faster = [*RESULTS, turn_result("opennmt-tf", "float32", 0, 400.0)]
    assert train.summary(faster, ["bfloat16"])["ratio_to_best_peer"] == {"4096": 0.5}


def test_batch_sizes_are_kept_apart():
    small = [
        TurnResult(Turn(name, "bfloat16", 1024, 0), speed, 1.0, 1.0) for name, speed in (("nmt", 80), ("hf-marian", 20))
    ]
    result = train.summary([*RESULTS, *small], ["bfloat16"])
    assert result["ratio_to_best_peer"] == {"4096": 2.0, "1024": 4.0}


def test_without_peers_there_are_figures_and_no_ratio():
    result = train.summary(RESULTS[:3], ["bfloat16"])
    assert result["target_tokens_per_second"] == {"4096": 200.0}
    assert "ratio_to_best_peer" not in result


def test_the_table_has_a_line_for_each_program_precision_and_batch_size():
    lines = list(train.table(RESULTS))
    assert len(lines) == 2 + 5
    assert "| bfloat16 | 4,096 | nmt | 200 (90 to 210) | 100 | 3.5 |" in lines


def test_an_unknown_peer_or_a_missing_python_is_refused(capsys):
    for given, message in [
        ("fairseq=python", "expected NAME=PYTHON with NAME one of opennmt-tf, hf-marian, keras-hub; found 'fairseq"),
        ("hf-marian=/no/python", "/no/python is not an executable; create the environment of hf-marian first"),
    ]:
        with pytest.raises(SystemExit):
            train.read_options(["--peer", given])
        assert message in capsys.readouterr().err


def test_a_program_that_fails_is_reported_and_left_out(tmp_path, capsys):
    assert train.measure(Turn("hf-marian", "bfloat16", 1024, 0), sys.executable, tmp_path / "none", 1.0) is None
    assert "hf-marian bfloat16 1024 gave no result: " in capsys.readouterr().err


def test_the_clock_ignores_the_warm_up_and_stops_after_the_given_seconds(monkeypatch):
    wall, cpu = itertools.count(0.0, 2.0), itertools.count(0.0, 4.0)
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(wall))
    monkeypatch.setattr(measuring.time, "process_time", lambda: next(cpu))
    clock = StepClock(seconds=14.0)
    done = [clock.step_done(100 * n) for n in range(1, 11)]
    assert done == [False] * 9 + [True]
    assert [tokens for tokens, _, _ in clock.steps] == [400, 500, 600, 700, 800, 900, 1000]
    assert clock.figures()["tokens_per_second"] == 350.0
    assert clock.figures()["tokens_per_cpu_second"] == 175.0


def test_a_benchmark_without_our_own_result_fails(monkeypatch):
    monkeypatch.setattr(train.subprocess, "run", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["train.py", "--rounds", "0"])
    with pytest.raises(SystemExit, match="this program's own training was not measured"):
        train.main()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark") / "data"
    corpus.write_corpus(folder, [TOKENS], PAIRS, VOCABULARY_SIZE)
    return folder


def test_every_form_of_the_corpus_holds_the_same_sentences(data):
    def text(name: str) -> list[list[int]]:
        return [[int(word[1:]) for word in line.split()] for line in (data / name).read_text().splitlines()]

    pairs = sorted(zip(text("train.source"), text("train.target"), strict=True))
    assert len(pairs) == PAIRS
    ready = [
        tuple(ids[(ids != PAD) & (ids != measuring.EOS)].tolist() for ids in (source, labels))
        for batch in read_batches(data, TOKENS)
        for source, labels in zip(batch.source, batch.labels, strict=True)
        if source.any()
    ]
    assert pairs == sorted(ready[:PAIRS])  # the first epoch
    assert np.mean([len(target) for _, target in pairs]) == pytest.approx(corpus.MEAN_LENGTH, rel=0.1)
    assert len((data / "words.txt").read_text().split()) == VOCABULARY_SIZE - measuring.FIRST_WORD


@pytest.mark.slow
def test_our_training_is_measured_on_the_prepared_batches(data, capsys):
    model = {"encoder_layers": 1, "decoder_layers": 1, "model_width": 8, "inner_width": 16, "heads": 2}
    arguments = argparse.Namespace(data=data, tokens=TOKENS, precision="float32", seconds=0.0)
    clock, parameters = nmt_train.measure(arguments, {"model": model, "training": {}})
    gc.collect()  # ends the stream, which would read ahead during other tests
    expected = [batch.target_tokens for batch in read_batches(data, TOKENS)[measuring.WARMUP_STEPS :]]
    tokens = [tokens for tokens, _, _ in clock.steps]
    assert tokens == expected[: measuring.MIN_STEPS]
    clock.report({"keras": "3"}, parameters)
    printed = json.loads(capsys.readouterr().out)
    assert printed["tokens_per_second"] > 0
    assert 0 < printed["peak_memory_gib"] < 100
    assert printed["parameters"] == parameters > VOCABULARY_SIZE * 8
