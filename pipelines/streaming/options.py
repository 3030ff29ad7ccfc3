"""The options of a training stream. The sequence of batches depends on these options and on the data."""

from dataclasses import dataclass

from keras_nmt.pipelines.errors import DataError


@dataclass(frozen=True)
class StreamOptions:
    """The options of `training_stream` and `plan_first_epoch`.

    Attributes:
        batch_tokens: The maximum number of tokens on each side of a batch, padding included.
        max_length: The maximum number of tokens on a side, EOS included. Longer pairs are skipped, and
            `skipped_examples` counts them.
        seed: The seed for all random choices: the order of the pairs, the mixing of corpora, and the segmentations.
        sampling_alpha: The exponent alpha of subword regularisation. With 0, the stored segmentation is read, which is
            the most probable one. Above 0, the segmentation of each sentence is drawn anew in each epoch, with a
            probability proportional to P(segmentation)**alpha. Batches are planned with room for longer segmentations,
            up to `max_length`. If a drawn segmentation does not fit, another one is drawn. If no draw fits, the
            sentence keeps its stored segmentation (`pipelines.streaming.subwords.sampler`).
        corpus_temperature: The temperature for mixing corpora. Above 1, small corpora are sampled more often than their
            weights say. The temperature has no effect on a single corpus (`pipelines.streaming.mixing`).
        packed: True to place several pairs in each row. All batches then have the shape that
            `pipelines.streaming.packing.packed_shape` returns.
    """

    batch_tokens: int
    max_length: int
    seed: int
    sampling_alpha: float = 0.0
    corpus_temperature: float = 1.0
    packed: bool = False

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise DataError(f"seed must not be negative, got {self.seed}")
        if self.sampling_alpha < 0:
            raise DataError(f"sampling_alpha must not be negative, got {self.sampling_alpha}")
