"""Whether a training has gone astray, told from the figures of its steps alone.

They are the same on every machine that trains along, so all come to the same verdict at the same step. What is done
about it is in `rollback`.
"""

import math
import statistics
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

REMEMBERED_STEPS = 500  # enough that a loss which rises for some hundred steps does not become the usual one
FIRST_STEPS = 20  # of fewer losses none is usual
STORM_SHARE = 4  # a storm: so many bad steps among the last four times as many
USUAL_SPREAD = 3.0  # standard deviations of the losses around their median: the losses of small batches vary much
SIGMA_OF_MEDIAN_DEVIATION = 1.4826  # of a normal distribution
LEAST_LOSS = 1.0  # nats a token; a model that has learnt its sentences by heart has losses of any multiple


class BadStep(NamedTuple):
    """A step, its loss in nats a target token, whether its update was skipped, and the median of the losses before."""

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
    """A training has gone astray.

    Attributes:
        bad: The steps that tell, oldest first.
        good_step: The weights after this step are to be trusted, for the next step's loss was usual; not those after
            later ones.
    """

    def __init__(self, bad: Sequence[BadStep], good_step: int) -> None:
        super().__init__(f"{len(bad)} bad steps from step {bad[0].step} on, the last with a {bad[-1]}")
        self.bad = bad
        self.good_step = good_step


class DivergenceWatch:
    """Sees each step, and raises `Diverged` at a storm of bad ones.

    A step is bad if its loss is not finite, if its update was skipped, or if its loss is a spike: over `spike_factor`
    times the median of the last 500 losses of other steps, and over that median by 3 of their standard deviations, as
    told by the median deviation. One bad step is nothing, for a batch may be odd. `storm_steps` of them among the last
    4 x `storm_steps` are a divergence.

    Worked example, with storm_steps = 2 and spike_factor = 3: after many losses near 2, the losses 2.1, 4.5, 6.5, 2.0
    and nan raise `Diverged` at the last. The third and fifth are bad; the second, more than half-way to a spike, is
    not, but only the weights that made the first are good.

    Args:
        spike_factor: More than 1; 0 takes every finite loss for usual.
        storm_steps: At least 1.
    """

    def __init__(self, spike_factor: float, storm_steps: int) -> None:
        self.spike_factor = spike_factor
        self.storm_steps = storm_steps
        self.losses: deque[float] = deque(maxlen=REMEMBERED_STEPS)
        self.bad: list[BadStep] = []
        self.good_step = 0

    def go_on_from(self, step: int) -> None:
        """The weights after `step` are good, and what was usual before is so still."""
        self.bad = []
        self.good_step = step

    def see(self, step: int, loss: float, *, skipped: bool) -> None:
        """Judges a step.

        Args:
            step: As counted from 1.
            loss: Nats a target token, of the global batch.
            skipped: Whether its gradient was not finite though it ought to have been.

        Raises:
            Diverged: This step makes a storm.
        """
        self.bad = [bad for bad in self.bad if bad.step > step - STORM_SHARE * self.storm_steps]
        usual = statistics.median(self.losses) if len(self.losses) >= FIRST_STEPS else math.inf
        spike = self._spike_from(usual) if self.spike_factor else math.inf
        if skipped or not math.isfinite(loss) or loss > spike:
            self.bad.append(BadStep(step, loss, skipped, usual))
        else:
            self.losses.append(loss)
        if len(self.bad) >= self.storm_steps:
            raise Diverged(self.bad, self.good_step)
        # The weights may have gone astray some steps before the loss is a spike.
        if not self.bad and loss <= (usual + spike) / 2:
            self.good_step = step - 1

    def _spike_from(self, usual: float) -> float:
        """The loss above which a step is a spike."""
        if not math.isfinite(usual):
            return math.inf
        spread = SIGMA_OF_MEDIAN_DEVIATION * statistics.median(abs(loss - usual) for loss in self.losses)
        return max(self.spike_factor * max(usual, LEAST_LOSS), usual + USUAL_SPREAD * spread)
