"""What TensorBoard shows of a run."""

import json
import math
from collections import defaultdict
from pathlib import Path

import pytest
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.util import tensor_util

from keras_nmt.app.tasks.samples import table

Shown = dict[str, dict[int, float]]
STEPS = ("loss", "perplexity", "accuracy", "learning_rate", "gradient_norm", "padding_share")
SPEEDS = ("source_tokens_per_second", "target_tokens_per_second")
EVALUATIONS = ("dev_loss", "dev_perplexity", "dev_bleu", "samples")


@pytest.fixture(scope="module")
def shown(run: Path) -> Shown:
    """The values in all event files of the run: name -> step -> value."""
    found: Shown = defaultdict(dict)
    for path in (run / "tensorboard").glob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = Event.FromString(record)
            for value in event.summary.value:
                if value.tag in (*STEPS, *SPEEDS, *EVALUATIONS):
                    found[value.tag][event.step] = tensor_util.make_ndarray(value.tensor).item()
    return found


def test_tensorboard_shows_each_steps_figures(run: Path, shown: Shown) -> None:
    assert set(shown) == {*STEPS, *SPEEDS, *EVALUATIONS}
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in logged:
        step = line["step"]
        for name in ("loss", "accuracy", "learning_rate", "gradient_norm", "padding_share"):
            assert shown[name][step] == pytest.approx(line[name], rel=1e-6)
        assert shown["perplexity"][step] == pytest.approx(math.exp(line["cross_entropy"]), rel=1e-5)
        for side in ("source", "target"):
            speed = line[f"{side}_tokens"] / line["seconds"]
            assert shown[f"{side}_tokens_per_second"][step] == pytest.approx(speed, rel=1e-3)
    assert set(shown["loss"]) == {line["step"] for line in logged}


def test_tensorboard_shows_each_evaluation_with_samples(run: Path, shown: Shown) -> None:
    logged = [json.loads(line) for line in (run / "dev.jsonl").read_text().splitlines()]
    for line in logged:
        for name in ("dev_loss", "dev_perplexity", "dev_bleu"):
            assert shown[name][line["step"]] == pytest.approx(line[name], rel=1e-6)
    samples = {step: text.decode().split("\n") for step, text in shown["samples"].items()}  # type: ignore[attr-defined]
    assert set(samples) == {2, 4}
    assert samples[4][:2] == ["source | translation | reference", "---|---|---"]
    rows = [row.split(" | ") for row in samples[4][2:]]
    assert [(row[0], row[-1]) for row in rows] == [
        ("It rains.", "Es regnet."),
        ("We are here.", "Wir sind hier."),
        ("Who?", "Wer?"),
        ("I know it well.", "Ich weiß es gut."),
    ]


def test_a_bar_in_a_sample_is_escaped() -> None:
    assert table(("a", "b"), [("a|b", "c")]) == "a | b\n---|---\na\\|b | c"
