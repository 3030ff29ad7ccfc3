"""Which checkpoints were the best on the dev set, and whether the training still gets better."""

import math
from collections.abc import Mapping

from app.config import BestBy

DevResults = Mapping[int, Mapping[str, float]]  # step -> the figures of a line of `dev.jsonl`


def ranked(results: DevResults, best_by: BestBy) -> list[int]:
    """The evaluated steps, the best first, of equals the earlier; those without the figure are left out."""
    badness = {step: _badness(values, best_by) for step, values in results.items()}
    return sorted((step for step, value in badness.items() if math.isfinite(value)), key=lambda s: (badness[s], s))


def evaluations_since_best(results: DevResults, best_by: BestBy) -> int:
    """How many checkpoints came after the best one and were no better."""
    order = ranked(results, best_by)
    return sum(step > order[0] for step in order)


def figure(values: Mapping[str, float], best_by: BestBy) -> str:
    """What a checkpoint is judged by, in words."""
    return f"dev {'BLEU' if best_by == 'bleu' else 'loss'} {values[f'dev_{best_by}']:g}"


def _badness(values: Mapping[str, float], best_by: BestBy) -> float:
    return -values.get("dev_bleu", -math.inf) if best_by == "bleu" else values.get("dev_loss", math.inf)
