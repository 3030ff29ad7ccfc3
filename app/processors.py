"""How the processors are shared out when much text is translated.

Between the products of a search there is much that a second thread cannot help with. So on a CPU it is better that each
batch keeps to its own threads, and that several batches are translated at once.
"""

import os

MOST_BATCHES = 8  # at once; each needs memory of its own


def batches_at_once() -> int:
    """One for each processor, up to `MOST_BATCHES`."""
    return min(MOST_BATCHES, processors())


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
