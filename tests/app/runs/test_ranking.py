"""The ranking of checkpoints, and the number of evaluations since the best."""

import math

import pytest

from keras_nmt.app.runs.ranking import evaluations_since_best, ranked

RESULTS = {
    10: {"dev_loss": 4.0, "dev_bleu": 1.5},
    20: {"dev_loss": 3.0, "dev_bleu": 2.5},
    30: {"dev_loss": 3.5, "dev_bleu": 2.5},
    40: {"dev_loss": 2.0},
    50: {"dev_loss": math.nan, "dev_bleu": 0.0},
}


@pytest.mark.parametrize(("metric", "order", "since"), [("bleu", [20, 30, 10, 50], 2), ("loss", [40, 20, 30, 10], 0)])
def test_the_best_comes_first_and_among_equals_the_earlier(metric, order, since):
    assert ranked(RESULTS, metric) == order
    assert evaluations_since_best(RESULTS, metric) == since


def test_without_results_nothing_is_ranked():
    assert ranked({}, "bleu") == []
    assert evaluations_since_best({}, "bleu") == 0
