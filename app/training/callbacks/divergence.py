"""Detects that a training diverges, from the loss of each step and from skipped updates.

The loss and the skipped updates are the same on all machines of a training, so all machines detect a divergence at the
same step. The module `rollback` handles a divergence.
"""

import math
import statistics
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

REMEMBERED_STEPS = 500  # so many that the median stays low if the loss rises for a few hundred steps
FIRST_STEPS = 20  # with fewer losses, the usual loss is unknown and no finite loss is a spike
STORM_SHARE = 4  # a storm is `storm_steps` bad steps among the last 4 * `storm_steps`
USUAL_SPREAD = 3.0  # standard deviations from the median; the losses of small batches vary much
SIGMA_OF_MEDIAN_DEVIATION = 1.4826  # standard deviation over median deviation, for a normal distribution
LEAST_LOSS = 1.0  # nats per token; if the median is lower (overfitting), a loss of many times the median is normal


class BadStep(NamedTuple):
    """A bad step of a training.

    Attributes:
        step: The number of the step.
        loss: The loss in nats per target token.
        skipped: True if the update of the step was skipped.
        usual: The median of the remembered losses of earlier steps that were not bad; infinite if there are fewer than
            20.
    """

    step: int
    loss: float
    skipped: bool
    usual: float

    def __str__(self) -> str:
        if not math.isfinite(self.loss):
            return f"loss {self.loss}"
        what = (
            "gradient not finite" if self.skipped else f"{self.loss / self.usual:.1f} times the median {self.usual:.3f}"
        )
        return f"loss {self.loss:.3f}, {what}"


class Diverged(Exception):
    """The error raised when a training diverges.

    Attributes:
        bad: The bad steps that show the divergence, oldest first.
        good_step: The last step after which the weights are trusted. They gave the loss of the next step, and this loss
            was usual.
    """

    def __init__(self, bad: Sequence[BadStep], good_step: int) -> None:
        super().__init__(f"{len(bad)} bad steps from step {bad[0].step} on, the last with a {bad[-1]}")
        self.bad = bad
        self.good_step = good_step


class DivergenceDetector:
    """Observes each step, and raises `Diverged` if too many of the last steps were bad (a storm).

    A step is bad if its loss is not finite, if its update was skipped, or if its loss is a spike. A spike is a loss
    above `spike_factor` times the median of the last 500 losses of steps that were not bad, and more than 3 standard
    deviations above that median. The standard deviation is estimated from the median absolute deviation. If the median
    is below 1, `spike_factor` multiplies 1 instead of the median. As long as there are fewer than 20 losses, no loss is
    a spike. A single bad step is ignored, because a batch may be unusual. A storm is `storm_steps` bad steps among the
    last 4 * `storm_steps` steps.

    Worked example, with storm_steps = 2 and spike_factor = 3: after many losses near 2, the losses 2.1, 4.5, 6.5, 2.0
    and nan raise `Diverged` at the last loss. The third and the fifth step are bad. The second step is not bad, but its
    loss is more than half-way from the median to a spike, so the weights that gave this loss are not trusted. The last
    trusted weights are those that gave the loss 2.1.

    Args:
        spike_factor: The factor of the median above which a loss may be a spike, more than 1. With 0, no finite loss is
            a spike.
        storm_steps: The number of bad steps of a storm, at least 1.
    """

    def __init__(self, spike_factor: float, storm_steps: int) -> None:
        self.spike_factor = spike_factor
        self.storm_steps = storm_steps
        self.losses: deque[float] = deque(maxlen=REMEMBERED_STEPS)
        self.bad: list[BadStep] = []
        self.good_step = 0

    def reset(self, step: int) -> None:
        """Marks the weights after `step` as trusted, and forgets the bad steps. Does not forget the losses."""
        self.bad = []
        self.good_step = step

    def observe(self, step: int, loss: float, *, skipped: bool) -> None:
        """Decides whether a step is bad, and whether the training has diverged.

        Args:
            step: The number of the step, counted from 1.
            loss: The loss of the global batch in nats per target token.
            skipped: True if the update was skipped because the gradient was not finite. Must be False if the only cause
                was that the loss scale was too large.

        Raises:
            Diverged: At least `storm_steps` of the last 4 * `storm_steps` steps, including this step, are bad.
        """
        self.bad = [bad for bad in self.bad if bad.step > step - STORM_SHARE * self.storm_steps]
        usual = statistics.median(self.losses) if len(self.losses) >= FIRST_STEPS else math.inf
        spike = self._spike_above(usual) if self.spike_factor else math.inf
        if skipped or not math.isfinite(loss) or loss > spike:
            self.bad.append(BadStep(step, loss, skipped, usual))
        else:
            self.losses.append(loss)
        if len(self.bad) >= self.storm_steps:
            raise Diverged(self.bad, self.good_step)
        # The weights may have become bad some steps before the loss becomes a spike.
        if not self.bad and loss <= (usual + spike) / 2:
            self.good_step = step - 1

    def _spike_above(self, usual: float) -> float:
        """Returns the value above which a loss is a spike; `usual` is the median of the remembered losses."""
        if not math.isfinite(usual):
            return math.inf
        spread = SIGMA_OF_MEDIAN_DEVIATION * statistics.median(abs(loss - usual) for loss in self.losses)
        return max(self.spike_factor * max(usual, LEAST_LOSS), usual + USUAL_SPREAD * spread)
