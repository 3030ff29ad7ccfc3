"""Ranks checkpoints by their results on the dev set."""

import math
from collections.abc import Mapping

from keras_nmt.app.config import BestBy

DevResults = Mapping[int, Mapping[str, float]]  # step -> the metrics of that step in `dev.jsonl`, by name


def ranked(results: DevResults, best_by: BestBy) -> list[int]:
    """Returns the evaluated steps, sorted by their dev results in the metric `best_by`, best first.

    Steps with equal values are in ascending order. Steps without a finite value are omitted.
    """
    cost = {step: _cost(values, best_by) for step, values in results.items()}
    return sorted((step for step, value in cost.items() if math.isfinite(value)), key=lambda s: (cost[s], s))


def evaluations_since_best(results: DevResults, best_by: BestBy) -> int:
    """Returns the number of evaluated steps after the step with the best result; 0 if no step was evaluated."""
    order = ranked(results, best_by)
    return sum(step > order[0] for step in order)


def figure(values: Mapping[str, float], best_by: BestBy) -> str:
    """Formats the metric by which a checkpoint is ranked, for a message: "dev BLEU 27.3"."""
    return f"dev {'BLEU' if best_by == 'bleu' else 'loss'} {values[f'dev_{best_by}']:g}"


def _cost(values: Mapping[str, float], best_by: BestBy) -> float:
    return -values.get("dev_bleu", -math.inf) if best_by == "bleu" else values.get("dev_loss", math.inf)
