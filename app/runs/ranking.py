"""Ranks checkpoints by their results on the dev set."""

import math
from collections.abc import Mapping

DevResults = Mapping[int, Mapping[str, float]]  # step -> the metrics of that step in `dev.jsonl`, by name
LOSS = "loss"  # the metric for which lower is better; for all others, higher is better


def ranked(results: DevResults, metric: str) -> list[int]:
    """Returns the evaluated steps in the order of their result `dev_{metric}`, best first.

    Steps with equal values are in ascending order. Steps without a finite value are omitted.
    """
    cost = {step: _cost(values, metric) for step, values in results.items()}
    return sorted((step for step, value in cost.items() if math.isfinite(value)), key=lambda s: (cost[s], s))


def evaluations_since_best(results: DevResults, metric: str) -> int:
    """Returns the number of evaluated steps after the step with the best result; 0 if no step was evaluated."""
    order = ranked(results, metric)
    return sum(step > order[0] for step in order)


def _cost(values: Mapping[str, float], metric: str) -> float:
    return values.get("dev_loss", math.inf) if metric == LOSS else -values.get(f"dev_{metric}", -math.inf)
