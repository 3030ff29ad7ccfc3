"""A training with poisoned losses goes back, skips batches, halves the learning rate, and finally gives up."""

import json
import math
import re
import shutil
import unicodedata
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.config import Configuration, TrainingConfig
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.runs.checkpoint_folder import CheckpointFolder
from keras_nmt.app.runs.checkpoints import Checkpoint
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.training.building import build_trainer, reset_trainer, trainer_state
from keras_nmt.app.training.callbacks.divergence import Diverged, DivergenceDetector
from keras_nmt.app.training.callbacks.rollback import Rollback, StopOnDivergence
from keras_nmt.app.training.objective.objective import TokenSums
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.layers import TransformerConfig
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.sources.corpora import LanguagePair, open_corpus
from tests.app.command_line import Done, nmt, refusal, succeeded, train_arguments

SETTINGS = (
    *("training.steps=34", "training.checkpoint_every=4", "training.keep_checkpoints=50", "training.dev_sentences=0"),
    *("training.best_by=loss", "training.storm_steps=2", "training.spike_factor=2.5", "training.ema_decay=0.5"),
)
# Two storms; between them a single bad step, and two steps with high losses that are not spikes.
POISON = {6: math.nan, 7: math.nan, 18: math.nan, 24: 2.0, 25: 2.0, 31: 5.0, 32: 5.0}
Lines = list[dict[str, Any]]


def poisoned(factors: Mapping[int, float]) -> Any:
    """Multiplies the losses of some steps, and so their gradients, by these factors."""
    objective = Trainer.objective

    def multiplied(self: Trainer, *batch: Any) -> TokenSums:
        sums = objective(self, *batch)
        factor = tf.py_function(lambda: factors.get(self.step, 1.0), [], tf.float32)
        return sums._replace(loss=sums.loss * tf.ensure_shape(factor, []))

    return mock.patch.object(Trainer, "objective", multiplied)


@pytest.fixture(scope="module")
def storms(data: Path, road: Path) -> Done:
    """A training with two storms; `stormy` is its run and `cut_short` a copy of it."""

    def keep_a_copy(rollback: Rollback, trainer: Trainer, *arguments: Any) -> None:
        go_back(rollback, trainer, *arguments)
        if trainer.step == 7:
            shutil.copytree(rollback.run.path, road / "cut short")

    go_back = Rollback.go_back
    with poisoned(POISON), mock.patch.object(Rollback, "go_back", keep_a_copy):
        # The storm also ends a profile, which must not disturb the rest of the training.
        return succeeded(nmt(*train_arguments(data, road / "stormy", *SETTINGS), "--profile", "7,9"))


@pytest.fixture
def stormy(road: Path, storms: Done) -> Path:
    """The finished run. Tests do not write to it."""
    return road / "stormy"


@pytest.fixture
def cut_short(road: Path, storms: Done) -> Path:
    """A copy of the run right after the first rollback, for the one test that writes to it."""
    return road / "cut short"


def lines_of(run: Path) -> Lines:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def checkpoint(run: Path, step: int) -> Checkpoint:
    return Checkpoint.open(run / "checkpoints" / f"step-{step:08d}")


def steps_kept(run: Path) -> list[int]:
    return [step for step, _ in CheckpointFolder(run / "checkpoints").steps()]


def timeless(run: Path) -> Lines:
    """Returns the logged lines without their times."""
    return [{**line, "seconds": 0} for line in lines_of(run)]


def assert_same_weights(one: Checkpoint, other: Checkpoint) -> None:
    for name, weight in one.weights().items():
        np.testing.assert_array_equal(weight, other.weights()[name])


def shown_batches(file: Path) -> dict[str, list[tuple[str, str]]]:
    """Returns the sentence pairs below each heading."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            found[line] = pairs = []
        else:
            source, target = line.split(" ||| ")
            pairs.append((source, target))
    return found


@pytest.mark.slow
def test_after_a_storm_of_nans_batches_are_skipped_and_the_rate_is_halved(storms: Done, stormy: Path) -> None:
    what = "2 bad steps from step 6 on, the last with a loss nan"
    file = stormy / "divergence" / "step-00000007.txt"
    assert f"step 7  diverged: {what}; see {file}\n" in storms.err
    assert "skipping the batches of steps 5 to 7, continuing at 0.5 times the learning rate\n" in storms.err
    lines = lines_of(stormy)[:10]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6, 7, 7, 8, 9]
    assert lines[7] == {"step": 7, "diverged": what, "rolled_back_to": 4, "rate_factor": 0.5}
    assert [line["loss"] for line in lines[5:7]] == [None, None]
    assert all(line["skipped"] == 0 and 0 < line["loss"] < 20 for line in (*lines[:5], *lines[8:]))
    assert lines[8]["learning_rate"] == pytest.approx(0.5 * lines[4]["learning_rate"])  # both are the 5th update's


@pytest.mark.slow
def test_a_single_bad_step_is_only_counted(storms: Done, stormy: Path) -> None:
    lines = {line["step"]: line for line in lines_of(stormy)}
    assert [lines[step]["skipped"] for step in (17, 18, 19)] == [0, 1, 0]
    assert "diverged" not in lines[18]
    assert storms.err.endswith("3 of 34 steps made no update because their gradient was not finite\n")


@pytest.mark.slow
def test_losses_that_stay_high_are_rolled_back_too(storms: Done, stormy: Path) -> None:
    (rollback,) = [line for line in lines_of(stormy)[10:] if "diverged" in line]
    assert rollback.pop("diverged").startswith("2 bad steps from step 31 on, the last with a loss ")
    assert rollback == {"step": 32, "rolled_back_to": 28, "rate_factor": 0.25}
    assert "skipping the batches of steps 29 to 32, continuing at 0.25 times the learning rate\n" in storms.err
    shown = shown_batches(stormy / "divergence" / "step-00000032.txt")
    assert [heading.split(":")[0] for heading in shown] == ["# step 31", "# step 32"]
    assert all(re.fullmatch(r".*: loss \d+\.\d+, \d\.\d times the median \d\.\d+", heading) for heading in shown)


@pytest.mark.slow
def test_the_checkpoint_of_a_rollback_is_replaced_by_the_next_in_turn(storms: Done, stormy: Path) -> None:
    assert "step 28  dev loss" in storms.err
    assert "step 32  dev loss" not in storms.err
    in_turn = [4, 8, 12, 16, 20, 24, 28, 34]  # 32 was a rollback's
    assert steps_kept(stormy) == in_turn
    assert [json.loads(line)["step"] for line in (stormy / "dev.jsonl").read_text().splitlines()] == in_turn


@pytest.mark.slow
def test_the_state_after_a_rollback_is_saved_at_once_and_can_be_resumed(
    data: Path, stormy: Path, cut_short: Path
) -> None:
    assert steps_kept(cut_short) == [4, 7]
    assert_same_weights(checkpoint(cut_short, 7), checkpoint(cut_short, 4))
    succeeded(nmt(*train_arguments(data, cut_short, *SETTINGS, "training.steps=12")))
    before, after = timeless(cut_short), timeless(stormy)
    assert before == [line for line in after if line["step"] <= 12]
    assert_same_weights(checkpoint(cut_short, 12), checkpoint(stormy, 12))


@pytest.mark.slow
def test_the_batches_of_the_bad_steps_are_written_as_text(stormy: Path) -> None:
    shown = shown_batches(stormy / "divergence" / "step-00000007.txt")
    assert list(shown) == ["# step 6: loss nan", "# step 7: loss nan"]
    sample = open_corpus("sample:tatoeba-en-de", LanguagePair.parse("en-de"))
    known = {tuple(unicodedata.normalize("NFKC", side.decode()) for side in pair[:2]) for pair in sample}
    vocabulary = RunDirectory.open(stormy).vocabulary()
    for pairs, line in zip(shown.values(), lines_of(stormy)[5:7], strict=True):
        assert set(pairs) <= known
        for name, side in zip(("source_tokens", "target_tokens"), zip(*pairs, strict=True), strict=True):
            tokens = vocabulary.encode(tf.constant(side)).flat_values.shape[0] + len(side)  # each has an EOS
            assert tokens == line[name]


@pytest.mark.slow
def test_a_run_that_diverges_too_often_stops_with_a_report(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with poisoned(dict.fromkeys(range(1, 50), math.nan)):
        done = nmt(*train_arguments(data, run, *SETTINGS, "training.max_rollbacks=1"))
    folder = run / "divergence"
    assert refusal(done, "train") == (
        "the training diverged at step 4, after training.max_rollbacks = 1; look at divergence/step-00000004.txt in "
        "the run and lower training.learning_rate, or continue with --set training.max_rollbacks=2"
    )
    report = done.err.split("the training diverged 2 time(s):\n")[1].splitlines()[:-1]
    assert report == [
        "  step 2: 2 bad steps from step 1 on, the last with a loss nan; back to step 0",
        "  step 4: 2 bad steps from step 3 on, the last with a loss nan; given up",
        f"look at: the sentences in {folder}, the figures in {run / 'metrics.jsonl'}",
        "trained with: learning_rate=0.02, warmup_steps=2, clip_norm=0.0, batch_tokens=1024, precision=float32",
        "change: lower learning_rate, more warmup_steps, clip_norm=1.0, precision=float32; with another --out",
        "kept: the checkpoint of step 2",
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000002.txt", "step-00000004.txt"]
    assert steps_kept(run) == [2]


MODEL = TransformerConfig(
    vocabulary_size=29, model_width=12, inner_width=20, heads=2, encoder_layers=1, decoder_layers=1
)


def small(precision: str = "float32") -> tuple[Trainer, Configuration]:
    configuration = Configuration(MODEL, TrainingConfig(precision=precision), DecodingOptions())
    keras.utils.set_random_seed(configuration.training.seed)
    return build_trainer(configuration), configuration


def values(trainer: Trainer) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in trainer_state(trainer)]


def test_a_reset_trainer_has_its_first_state(data: Path) -> None:
    trainer, configuration = small()
    first = values(trainer)
    for variable in trainer_state(trainer):
        variable.assign(variable + 1)
    reset_trainer(trainer, configuration, Manifest.load(data))
    for now, then in zip(values(trainer), first, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_trainer_with_a_warm_start_is_reset_to_its_weights(run: Path, data: Path) -> None:
    made = RunDirectory.open(run).configuration
    configuration = replace(made, training=replace(made.training, warm_start=str(run)))
    trainer = build_trainer(configuration)
    reset_trainer(trainer, configuration, Manifest.load(data))
    weights = checkpoint(run, 4).weights()
    for weight in trainer.transformer.weights:
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), weights[weight.path])


@pytest.mark.parametrize(
    ("scale", "loss", "counts"), [(1.0, 2.0, False), (0.5, 2.0, True), (1.0, math.nan, True)], ids=str
)
def test_an_overflow_in_float16_is_a_bad_step_only_at_a_very_small_loss_scale(
    scale: float, loss: float, counts: bool
) -> None:
    trainer, _ = small("mixed_float16")
    trainer.optimizer.loss_scale.assign(scale)
    detector = DivergenceDetector(2.0, storm_steps=1)
    callback = StopOnDivergence(detector)
    callback.set_model(trainer)
    with pytest.raises(Diverged) if counts else nullcontext():
        callback.on_train_batch_end(0, {"loss": loss, "skipped": 1.0})


def test_a_rollback_goes_to_the_newest_good_checkpoint_and_removes_later_ones(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    trainer, _ = small()
    for step in (1, 2, 3, 4, 5):
        if step == 3:
            trainer.transformer.trainable_variables[0].assign(trainer.transformer.trainable_variables[0] * math.nan)
        folder.save(step, trainer.transformer, trainer.optimizer, {})
    (tmp_path / "step-00000002" / "weights.npz").unlink()
    good = folder.back_to(4)
    assert good is not None
    assert good.step == 1
    assert [step for step, _ in folder.steps()] == [1]
    assert folder.back_to(0) is None
