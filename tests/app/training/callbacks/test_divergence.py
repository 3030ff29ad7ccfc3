"""Which sequences of losses are a divergence."""

import math
from collections.abc import Sequence

import pytest

from keras_nmt.app.training.callbacks.divergence import Diverged, DivergenceDetector

NAN = math.nan
USUAL = [2.0, 1.9, 2.1] * 10


def diverged(
    losses: Sequence[float], skipped: Sequence[int] = (), *, spike_factor: float = 2.0, storm_steps: int = 3
) -> Diverged | None:
    """Returns what the detector raises at the last of these losses, which start at step 1; it must not raise before."""
    detector = DivergenceDetector(spike_factor, storm_steps)
    for step, loss in enumerate(losses, start=1):
        try:
            detector.observe(step, loss, skipped=step in skipped)
        except Diverged as error:
            assert step == len(losses)
            return error
    return None


def bad_steps(error: Diverged | None) -> list[int]:
    assert error is not None
    return [bad.step for bad in error.bad]


@pytest.mark.parametrize("loss", [NAN, math.inf])
def test_a_storm_of_losses_that_are_not_finite_is_a_divergence(loss: float) -> None:
    storm = diverged([*USUAL, loss, loss, loss])
    assert bad_steps(storm) == [31, 32, 33]
    assert storm is not None
    assert storm.good_step == 29
    assert str(storm) == f"3 bad steps from step 31 on, the last with a loss {loss}"


def test_fewer_bad_steps_are_no_divergence_and_are_forgotten() -> None:
    assert diverged([*USUAL, NAN, NAN, *USUAL, NAN, NAN, *USUAL]) is None
    apart = [NAN, *[2.0] * 5, NAN, *[2.0] * 5, NAN]  # three among 13
    assert diverged([*USUAL, *apart]) is None


def test_bad_steps_need_not_be_consecutive() -> None:
    storm = diverged([*USUAL, NAN, *[1.0] * 5, NAN, *[1.0] * 4, NAN])  # three among 12
    assert bad_steps(storm) == [31, 37, 42]
    assert storm is not None
    assert storm.good_step == 29


def test_a_storm_may_come_with_the_first_steps() -> None:
    storm = diverged([NAN, NAN, NAN])
    assert bad_steps(storm) == [1, 2, 3]
    assert storm is not None
    assert storm.good_step == 0


def test_skipped_updates_count_whatever_their_loss() -> None:
    storm = diverged([*USUAL, 2.0, 2.0, 2.0], skipped=[31, 32, 33])
    assert bad_steps(storm) == [31, 32, 33]
    assert str(storm).endswith("the last with a loss 2.000, gradient not finite")


def test_losses_that_stay_above_the_factor_times_the_median_are_a_divergence() -> None:
    spike = diverged([*USUAL, 4.1, 4.1, 5.0])
    assert bad_steps(spike) == [31, 32, 33]
    assert str(spike) == "3 bad steps from step 31 on, the last with a loss 5.000, 2.5 times the median 2.000"
    assert diverged([*USUAL, *[4.0] * 9]) is None
    assert bad_steps(diverged([*USUAL, 6.1], spike_factor=3.0, storm_steps=1)) == [31]


def test_losses_within_their_usual_variance_are_no_divergence() -> None:
    of_small_batches = [2.0, 1.4, 2.6, 3.2, 1.0] * 20  # those over 1.5 times the median are a fifth of them
    assert diverged([*of_small_batches, *[3.2] * 9], spike_factor=1.5) is None
    assert bad_steps(diverged([*of_small_batches, 5.0, 5.0, 5.0], spike_factor=1.5)) == [101, 102, 103]


def test_the_factor_0_accepts_every_finite_loss() -> None:
    assert diverged([*USUAL, *[1e9] * 9], spike_factor=0.0) is None
    assert bad_steps(diverged([*USUAL, NAN, NAN, NAN], spike_factor=0.0)) == [31, 32, 33]


def test_spikes_are_not_counted_as_usual_losses() -> None:
    detector = DivergenceDetector(2.0, storm_steps=1)
    for step, loss in enumerate(USUAL, start=1):
        detector.observe(step, loss, skipped=False)
    for step in range(31, 131):
        with pytest.raises(Diverged):
            detector.observe(step, 5.0, skipped=False)


def test_the_last_500_losses_determine_what_is_usual() -> None:
    assert diverged([*[2.0] * 251, *[3.9] * 249, *[4.1] * 3]) is not None
    assert diverged([*[2.0] * 500, *[3.9] * 251, *[4.1] * 9]) is None


def test_there_are_no_spikes_before_the_20th_loss() -> None:
    assert diverged([*[2.0] * 19, *[3.9, 9.0, 9.0, 9.0]]) is not None
    assert diverged([*[2.0] * 10, *[9.0] * 20]) is None


def test_spikes_are_measured_from_at_least_one_nat() -> None:
    assert diverged([*[0.01] * 30, *[1.9] * 9]) is None
    assert diverged([*[0.01] * 30, *[2.1] * 3]) is not None


def test_the_good_step_is_before_the_rise_of_the_loss() -> None:
    spike = diverged([*USUAL, 2.9, 3.1, 3.5, 4.5, 5.0, 5.5])
    assert bad_steps(spike) == [34, 35, 36]
    assert spike is not None
    assert spike.good_step == 30


def test_after_a_reset_bad_steps_are_forgotten_and_usual_losses_are_not() -> None:
    detector = DivergenceDetector(2.0, storm_steps=3)
    for step, loss in enumerate([*USUAL, 5.0, 5.0], start=1):
        detector.observe(step, loss, skipped=False)
    detector.reset(33)
    for step in (34, 35):
        detector.observe(step, 5.0, skipped=False)
    with pytest.raises(Diverged) as again:
        detector.observe(36, 5.0, skipped=False)
    assert bad_steps(again.value) == [34, 35, 36]
    assert again.value.good_step == 33


def test_the_worked_example_holds() -> None:
    error = diverged([*[2.0] * 30, 2.1, 4.5, 6.5, 2.0, NAN], spike_factor=3.0, storm_steps=2)
    assert bad_steps(error) == [33, 35]
    assert error is not None
    assert error.good_step == 30
