"""Each training setting reaches what it is for; those that the road's run cannot show."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from app.errors import UserError
from app.training import train as training
from app.training.trainer import Trainer
from tests.app.command_line import nmt, train_arguments

Seen = dict[str, Any]


@pytest.fixture
def begun(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives a function that begins a training and gives what the stream was asked for and the first weights."""
    number = 0

    def begin(*settings: str) -> Seen:
        nonlocal number
        number += 1
        seen: Seen = {}

        def stream(_: Path, **options: Any) -> None:
            seen.update(options)
            if "weights" in seen:  # the first call comes before the model is built, to try the settings
                raise UserError("enough")

        def build(configuration: Any) -> Trainer:
            trainer = built(configuration)
            seen["weights"] = [keras.ops.convert_to_numpy(w) for w in trainer.transformer.trainable_variables]
            seen["settings"] = trainer.settings
            return trainer

        built = training.build_trainer
        with monkeypatch.context() as patched:
            patched.setattr(training, "training_stream", stream)
            patched.setattr(training, "build_trainer", build)
            done = nmt(*train_arguments(data, tmp_path / f"run{number}", *settings))
        assert done.complaints == ["nmt train: enough"]
        return seen

    return begin


def same_weights(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(ours["weights"], theirs["weights"], strict=True))


def test_the_seed_decides_the_first_weights_and_the_order_of_the_data(begun: Any) -> None:
    first, again, other = begun("training.seed=3"), begun("training.seed=3"), begun("training.seed=4")
    assert same_weights(first, again)
    assert not same_weights(first, other)
    assert (first["seed"], other["seed"]) == (3, 4)


def test_batches_and_lengths_are_those_of_the_settings(begun: Any) -> None:
    settings = ("training.batch_tokens=777", "training.max_length=31", "training.label_smoothing=0.25")
    seen = begun(*settings, "training.sampling_alpha=0.3")
    assert (seen["batch_tokens"], seen["max_length"], seen["start_batch"]) == (777, 31, 0)
    assert seen["sampling_alpha"] == 0.3
    assert seen["settings"].label_smoothing == 0.25
