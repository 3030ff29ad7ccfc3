"""What is done about a divergence: back to the last good checkpoint, over the batches since, on at half the rate.

The batches from that checkpoint up to the divergence are passed over. They count as steps, so that `Trainer.step` stays
the position in the data, but make no updates: the schedule goes on where the checkpoint had it. The state is written as
a checkpoint of the divergence's step at once, so that a run that is killed then goes on as if it had not been.
`metrics.jsonl` keeps the lines of the steps that were passed over, and gets an object that says so.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from app.errors import UserError
from app.runs import step_lines
from app.runs.checkpoints import ROLLED_BACK_TO, Checkpoint
from app.runs.directory import RunDirectory
from app.runtime.console import say
from app.training.callbacks.divergence import Diverged, DivergenceWatch
from app.training.trainer import Trainer
from pipelines.streaming.packed_batches import sentences_of
from pipelines.vocabulary.tokenizer import Vocabulary

RATE_FACTOR = 0.5
USUAL_LOSS_SCALE = 1.0  # under it, what overflows in float16 is no gradient that another scale would help


class SeesDivergence(keras.callbacks.Callback):
    """Shows each step to a watch; stands before what keeps the state after a step.

    In float16 a gradient overflows now and then, which halves the scale of the loss. That is no harm, unless the scale
    is very small already.
    """

    def __init__(self, watch: DivergenceWatch) -> None:
        super().__init__()
        self.watch = watch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Ends `fit` with `Diverged`, if the step makes a divergence."""
        optimizer = self.model.optimizer
        overflow = optimizer.dynamic_loss_scale and _number(optimizer.loss_scale) >= USUAL_LOSS_SCALE
        self.watch.see(self.model.step, float(logs["loss"]), skipped=bool(logs["skipped"]) and not overflow)


def recover(trainer: Trainer, diverged: Diverged, rollback: "Rollback | None") -> None:
    """Gives the trainer good weights, with which to go on after its step; all machines call it at once.

    Args:
        rollback: The chief's; the other machines have none, and are to take its state then.

    Raises:
        UserError: The training went back `max_rollbacks` times already.
    """
    allowed = trainer.settings.max_rollbacks
    # The factor halved each time; it is the same on every machine, and each checkpoint holds it.
    exhausted = round(math.log(_number(trainer.optimizer.rate_factor), RATE_FACTOR)) >= allowed
    if rollback:
        rollback.note(trainer.step, diverged)
        good = rollback.last_good(diverged)
        if exhausted:
            say(rollback.report(trainer.step, diverged, good))
        else:
            rollback.go_back(trainer, diverged, good)
    if exhausted:
        raise UserError(
            f"the training diverged at step {trainer.step}, after training.max_rollbacks = {allowed}; look at "
            f"{batches_name(trainer.step)} in the run and lower training.learning_rate, or go on with --set "
            f"training.max_rollbacks={allowed + 1}"
        )


def batches_name(step: int) -> str:
    """The file within the run that shows the batches of a divergence at `step`."""
    return f"divergence/step-{step:08d}.txt"


@dataclass(frozen=True)
class Rollback:
    """Goes back in a run.

    Attributes:
        vocabulary: To show batches as text.
        batches_after: Gives the batches that follow a step.
        begin_anew: Gives the trainer what its training began with.
        keep: Writes a checkpoint with these facts.
    """

    run: RunDirectory
    vocabulary: Vocabulary
    batches_after: Callable[[int], tf.data.Dataset]
    begin_anew: Callable[[], None]
    keep: Callable[[dict[str, Any]], None]

    @property
    def metrics(self) -> Path:
        """The file with an object for each step and each time the training went back."""
        return self.run.path / "metrics.jsonl"

    def note(self, step: int, diverged: Diverged) -> None:
        """Says that there is a divergence, and writes the bad steps' sentences, to be looked at: source ||| target."""
        file = self.run.path / batches_name(step)
        say(f"step {step}  diverged: {diverged}; see {file}")
        bad = {each.step: each for each in diverged.bad}
        first = min(bad)
        batches = self.batches_after(first - 1).take(max(bad) - first + 1)
        file.parent.mkdir(exist_ok=True)
        with file.open("w", encoding="utf-8") as text:
            for number, (inputs, labels, *_) in enumerate(batches.as_numpy_iterator(), start=first):
                if number in bad:
                    sides = (self.vocabulary.decode(ids).numpy().tolist() for ids in sentences_of(inputs, labels))
                    text.write(f"# step {number}: {bad[number]}\n")
                    pairs = zip(*sides, strict=True)
                    text.writelines(f"{s.decode()} ||| {t.decode()}\n" for s, t in pairs if s or t)  # not empty rows

    def last_good(self, diverged: Diverged) -> Checkpoint | None:
        """The last checkpoint that is to be trusted, if there is one; takes away those after it and their results."""
        good = self.run.checkpoints.back_to(diverged.good_step)
        step_lines.cut_after(self.run.path / "dev.jsonl", good.step if good else 0)
        return good

    def go_back(self, trainer: Trainer, diverged: Diverged, good: Checkpoint | None) -> None:
        """Gives the trainer the weights of the last good checkpoint, or the first weights; writes and says so."""
        step, rate_factor = trainer.step, RATE_FACTOR * _number(trainer.optimizer.rate_factor)
        if good:
            good.restore(trainer.transformer, trainer.optimizer)
        else:
            self.begin_anew()
        trainer.optimizer.rate_factor.assign(rate_factor)
        back_to = good.step if good else 0
        facts = {"diverged": str(diverged), ROLLED_BACK_TO: back_to, "rate_factor": rate_factor}
        step_lines.append(self.metrics, {"step": step, **facts})
        self.keep(facts)
        say(f"passing over the batches of steps {back_to + 1} to {step}, on at {rate_factor:g} times the learning rate")

    def report(self, step: int, diverged: Diverged, good: Checkpoint | None) -> str:
        """What happened in the whole run, what to look at and what to change, in lines."""
        settings = self.run.configuration.training
        before = [line for line in step_lines.read(self.metrics) if ROLLED_BACK_TO in line]
        names = ("learning_rate", "warmup_steps", "clip_norm", "batch_tokens", "precision")
        return "\n".join(
            [
                f"the training diverged {len(before) + 1} time(s):",
                *(f"  step {line['step']}: {line['diverged']}; back to step {line[ROLLED_BACK_TO]}" for line in before),
                f"  step {step}: {diverged}; given up",
                f"look at: the sentences in {self.run.path / 'divergence'}, the figures in {self.metrics}",
                f"trained with: {', '.join(f'{name}={getattr(settings, name)}' for name in names)}",
                "change: lower learning_rate, more warmup_steps, clip_norm=1.0, precision=float32; with another --out",
                f"kept: {f'the checkpoint of step {good.step}' if good else 'no checkpoint, for none was good yet'}",
            ]
        )


def _number(variable: keras.Variable) -> float:
    return float(keras.ops.convert_to_numpy(variable))
