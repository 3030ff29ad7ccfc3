"""Cuts pairs into batches of a fixed token budget and a few fixed shapes, from their lengths alone.

A batch plan says which rows go into a batch and to which lengths its sides are padded; no token is needed for it, so a
position in an epoch is found without reading data. A worked example, with room for 64 tokens a side and lengths

    row      0      1      2    ...  7      8      9   ... 15
    lengths (3,4)  (4,4)  (4,3) ... (3,3)  (7,6)  (8,8) ... (5,7)        (source, target)

Rows 0-7 fall into the buckets (4, 4), where 64 // 4 = 16 rows make a batch; there are only 8. They do not become a small
batch: they are joined by rows 8-15 of the buckets (8, 8), where 64 // 8 = 8 rows make a batch. So there are two batches of
8 rows, the first of width 8 for the sake of its neighbours. The last batch of all may have too few rows; it gets empty
rows up to a multiple of 8.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError
from pipelines.shards import Lengths, Tokens
from pipelines.vocabulary import BOS, PAD

ROWS_MULTIPLE = 8  # batches divide among 2, 4 or 8 replicas or accumulation steps
EMPTY_ROW = -1
