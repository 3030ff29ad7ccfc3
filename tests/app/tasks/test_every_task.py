"""What holds for the trainings and the runs of every task: resuming, several devices, unusable input."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.util import tensor_util

from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.tasks.known import TASKS
from keras_nmt.app.training.data_sets import DataSets
from keras_nmt.pipelines.shards.manifest import Manifest
from tests.app.command_line import nmt, refusal, succeeded, tree
from tests.app.tasks.task_data import ALL, LANGUAGE_MODEL, PARSING, SUMMARIZATION, TaskData
from tests.app.training.small_trainer import ONE, TWO, assert_same_figures
from tests.app.training.small_trainer import trained as train_small

pytestmark = pytest.mark.usefixtures("traced_once")

RUNS = {PARSING: "parser_run", SUMMARIZATION: "summary_run", LANGUAGE_MODEL: "language_model_run"}


@dataclass(frozen=True)
class Trained:
    """A task with its run and the data of the run. Tests do not write to them."""

    task: TaskData
    run: Path

    @property
    def data(self) -> Path:
        return self.run.parent / "data"

    @property
    def verb(self) -> str:
        return TASKS[self.task.name].verb


@pytest.fixture(params=ALL, ids=lambda task: task.name)
def trained(request: pytest.FixtureRequest) -> Trained:
    return Trained(request.param, request.getfixturevalue(RUNS[request.param]))


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def samples(run: Path) -> dict[int, str]:
    """Returns the samples of each evaluation by its step."""
    files = map(str, (run / "tensorboard").glob("events.out.tfevents.*"))
    records = (record for file in files for record in tf.data.TFRecordDataset(file).as_numpy_iterator())
    events = map(Event.FromString, records)
    return {
        event.step: tensor_util.make_ndarray(value.tensor).item().decode()
        for event in events
        for value in event.summary.value
        if value.tag == "samples"
    }


@pytest.mark.parametrize(
    "trained",
    [LANGUAGE_MODEL, *(pytest.param(task, marks=pytest.mark.slow) for task in (PARSING, SUMMARIZATION))],
    ids=lambda task: task.name,
    indirect=True,
)
def test_a_training_that_stopped_resumes_as_if_it_had_not(trained: Trained, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained.run, tmp_path / "run"))
    first, last = sorted((run / "checkpoints").iterdir())
    expected = dict(np.load(last / "weights.npz"))
    shutil.rmtree(last)
    done = succeeded(trained.task.train(trained.data, run, "training.dev_sentences=0"))
    assert f"resuming from step {int(first.name[-8:])} of {int(last.name[-8:])}" in done.err
    before, after = metrics(trained.run), metrics(run)
    assert [line["step"] for line in after] == [line["step"] for line in before]
    for again, line in zip(after, before, strict=True):
        assert again["loss"] == pytest.approx(line["loss"], abs=1e-5)
        assert again["target_tokens"] == line["target_tokens"]
    with np.load(last / "weights.npz") as weights:
        assert sorted(weights) == sorted(expected)
        for name, weight in weights.items():
            np.testing.assert_allclose(weight, expected[name], atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_two_devices_equal_one(trained: Trained) -> None:
    configuration = RunDirectory.open(trained.run).configuration
    manifest = Manifest.load(trained.data)
    model = replace(configuration.model, residual_dropout=0.0)
    one, two = (
        train_small(devices, data=DataSets.open(manifest, configuration.training).stream(0), model=model)
        for devices in (ONE, TWO)
    )
    assert_same_figures(one, two)
    # Where a gradient is nearly 0, its sign is rounding, and the first updates of Adam have little but the sign.
    for path, weight in one.weights.items():
        assert np.linalg.norm(weight - two.weights[path]) < 1e-4 * np.linalg.norm(weight), path


def test_tensorboard_shows_samples_of_each_evaluation(trained: Trained) -> None:
    shown = samples(trained.run)
    assert sorted(shown) == [json.loads(line)["step"] for line in (trained.run / "dev.jsonl").read_text().splitlines()]
    first_lines = {
        PARSING: "tree:",
        SUMMARIZATION: "text | summary | reference",
        LANGUAGE_MODEL: "prompt 'All:':",
    }
    for text in shown.values():
        assert text.split("\n")[0] == first_lines[trained.task]
        if trained.task is LANGUAGE_MODEL:
            assert [line for line in text.split("\n") if line.startswith("prompt")] == [
                f"prompt '{prompt}':" for prompt in ("All:", "Speak!", "We know the citizen, we know.")
            ]
            assert "\n    All:" in text


# Unusable input


@pytest.mark.parametrize("verb", sorted(task.verb for task in TASKS.values()))
def test_the_wrong_verb_names_the_right_one(trained: Trained, verb: str) -> None:
    if verb == trained.verb:
        return
    done = nmt(verb, trained.run, stdin=b"a cat\n")
    assert refusal(done, verb) == f"{trained.run} is a model of {trained.task.name}; use nmt {trained.verb}"


@pytest.mark.parametrize(
    ("task", "name", "content", "message"),
    [
        (PARSING, "train.trees", b"", "train.trees is empty"),
        (PARSING, "train.trees", b"(TOP (NP (DT a) (NN cat))\n", "train.trees"),
        (PARSING, "train.trees", b"a cat\n", "train.trees"),
        (SUMMARIZATION, "train.tsv", b"", "train.tsv is empty"),
        (SUMMARIZATION, "train.tsv", b"a text without a summary\n", "train.tsv line 1 has no tab"),
        (SUMMARIZATION, "dev.jsonl", b'{"text": "a"}\n', "dev.jsonl line 1"),
        (LANGUAGE_MODEL, "train.txt", b"", "train.txt is empty"),
        (LANGUAGE_MODEL, "train.txt", b" \n\n", "train.txt"),
        (LANGUAGE_MODEL, "train.txt", "a cat".encode("utf-16"), "train.txt"),
    ],
)
def test_an_unusable_corpus_is_named(tmp_path: Path, task: TaskData, name: str, content: bytes, message: str) -> None:
    folder = tmp_path / "corpus"
    task.write(folder)
    (folder / name).write_bytes(content)
    before = tree(folder)
    assert message in refusal(task.prepare(folder), "prepare")
    assert tree(folder) == before


def cut_shard(data: Path) -> str:
    shard = data / Manifest.load(data).split("train").shards[0].file
    shard.write_bytes(shard.read_bytes()[:-1])
    return f"{shard.name} has"


def change_record(data: Path) -> str:
    shard = data / Manifest.load(data).split("train").shards[0].file
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    return f"{shard.name} is corrupt"


def damage_manifest(data: Path) -> str:
    (data / "manifest.json").write_text("{")
    return "manifest.json is damaged"


@pytest.mark.parametrize("damage", [cut_shard, change_record, damage_manifest])
def test_damaged_data_is_found_before_training(trained: Trained, damage: Callable[[Path], str], tmp_path: Path) -> None:
    data = Path(shutil.copytree(trained.data, tmp_path / "data"))
    message = damage(data)
    assert message in refusal(trained.task.train(data, tmp_path / "run"), "train")
    assert not (tmp_path / "run").exists()


def test_a_damaged_checkpoint_is_named(trained: Trained, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained.run, tmp_path / "run"))
    for path in (run / "checkpoints").iterdir():
        (path / "weights.npz").write_bytes((path / "weights.npz").read_bytes()[:-9])
    line = refusal(nmt(trained.verb, run, stdin=b"a cat\n"), trained.verb)
    assert line.endswith("is damaged: weights.npz has another checksum than when it was written")
