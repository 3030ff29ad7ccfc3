"""Places the tokens of several pairs in one row (packing), and separates the pairs again.

A worked example: a row for 6 source and 5 target tokens contains the pairs (7 8 EOS, 9 EOS) and (6 EOS, 5 EOS):

    source           7  8  EOS  6  EOS  PAD      target           BOS  9    BOS  5    PAD
    source_segments  1  1  1    2  2    0        labels           9    EOS  5    EOS  PAD
                                                 target_segments  1    1    2    2    0
"""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from keras_nmt.pipelines.shards.buckets import Rows
from keras_nmt.pipelines.shards.reading import LossWeights
from keras_nmt.pipelines.streaming.batching import Ids, NumpyBatch
from keras_nmt.pipelines.streaming.packing import PackedPlan
from keras_nmt.pipelines.vocabulary.tokenizer import PAD

_Number = TypeVar("_Number", np.int32, np.float32)


def pack_rows(
    plan: PackedPlan, batch: NumpyBatch, weights: LossWeights | None = None
) -> tuple[dict[str, Ids], Ids] | tuple[dict[str, Ids], Ids, LossWeights]:
    """Packs a batch that has one pair per row.

    Args:
        plan: The positions of the N pairs in the packed batch.
        batch: `({"source": [N, S'], "target": [N, T']}, labels [N, T'])`. The plan must have enough room for each
            source and each target.
        weights: The loss weights of the pairs, float32 [N].

    Returns:
        `({"source", "source_segments": int32 [B, S], "target", "target_segments": int32 [B, T]}, labels int32 [B, T])`.
        If `weights` is given, the third element is the loss weights of the target tokens, float32 [B, T], 0 at PAD.
    """
    inputs, labels = batch
    source, target = _Side(plan, 0, inputs["source"]), _Side(plan, 1, labels)
    packed = {
        "source": source.place(inputs["source"]),
        "source_segments": source.place(_broadcast(plan.segments, inputs["source"])),
        "target": target.place(inputs["target"]),
        "target_segments": target.place(_broadcast(plan.segments, labels)),
    }
    if weights is None:
        return packed, target.place(labels)
    return packed, target.place(labels), target.place(np.broadcast_to(weights[:, None], labels.shape))


def unpacked_sentences(inputs: Mapping[str, Ids], labels: Ids) -> tuple[Ids, Ids]:
    """Returns the token ids of the sources and of the targets of a batch, one sentence per row.

    The batch may be packed. A batch that is not packed is returned unchanged.
    """
    if "source_segments" not in inputs:
        return inputs["source"], labels
    return unpacked(inputs["source"], inputs["source_segments"]), unpacked(labels, inputs["target_segments"])


def unpacked(ids: Ids, segments: Ids) -> Ids:
    """Returns the sentences of packed rows, [N, L], ordered by row and segment and padded with PAD.

    Args:
        ids: The packed rows, [B, W].
        segments: The segment ids, [B, W].
    """
    row, column = np.nonzero(segments)
    places = row * (int(segments.max(initial=0)) + 1) + segments[row, column]
    _, first, number = np.unique(places, return_index=True, return_inverse=True)
    offset = np.arange(len(row)) - first[number]
    sentences = np.full((len(first), int(offset.max(initial=-1)) + 1), PAD, ids.dtype)
    sentences[number, offset] = ids[row, column]
    return sentences


def _broadcast(segments: Rows, ids: Ids) -> Ids:
    return np.broadcast_to(segments[:, None].astype(np.int32), ids.shape)


class _Side:
    """The positions that the tokens of one side (source or target) of a batch get in packed rows."""

    def __init__(self, plan: PackedPlan, side: int, ids: Ids) -> None:
        """Computes the positions from the plan and from the places of the tokens in `ids`.

        Args:
            plan: The positions of the pairs in the packed batch.
            side: 0 for the source, 1 for the target.
            ids: The ids of the side with one pair per row, [N, L], padded with PAD.
        """
        self.shape = plan.shape.rows, plan.shape[1 + side]
        self.taken = np.nonzero(ids != PAD)
        pair, column = self.taken
        self.places = plan.rows[pair], plan.starts[pair, side] + column

    def place(self, values: NDArray[_Number]) -> NDArray[_Number]:
        """Moves the value of each token from its place in [N, L] to its place in packed rows [B, W]. Padding gets 0."""
        rows = np.zeros(self.shape, values.dtype)
        rows[self.places] = values[self.taken]
        return rows
