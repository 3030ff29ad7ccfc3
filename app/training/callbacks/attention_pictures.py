"""Attention weights as a picture, in NumPy alone."""

import numpy as np
from numpy.typing import NDArray

CELL = 10  # pixels on each side of a weight's square
GAP = 6  # pixels between two heads
# From 0 to 1, dark to bright: five colours of matplotlib's "viridis", with straight lines between them.
COLOURS = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], np.float32)
BACKGROUND = 255


def attention_picture(heads: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draws the heads of one attention side by side.

    Args:
        heads: Weights [H, T, S], in [0, 1]: a row for each query, a column for each key.

    Returns:
        RGB, uint8 [T * CELL, H * S * CELL + (H - 1) * GAP, 3].
    """
    at = np.clip(heads, 0.0, 1.0) * (len(COLOURS) - 1)
    below = np.minimum(at.astype(int), len(COLOURS) - 2)
    share = (at - below)[..., None]
    pixels = (COLOURS[below] * (1 - share) + COLOURS[below + 1] * share).round().astype(np.uint8)  # [H, T, S, 3]
    pixels = pixels.repeat(CELL, axis=1).repeat(CELL, axis=2)
    gap = np.full((pixels.shape[1], GAP, 3), BACKGROUND, np.uint8)
    parts = [part for head in pixels for part in (gap, head)][1:]
    return np.concatenate(parts, axis=1)
