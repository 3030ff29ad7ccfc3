"""The options of a training stream: what the sequence of batches depends on, besides the data."""

from dataclasses import dataclass

from keras_nmt.pipelines.errors import DataError


@dataclass(frozen=True)
class StreamOptions:
    """The options of `training_stream` and `plan_first_epoch`.

    Attributes:
        batch_tokens: The maximum number of tokens on each side of a batch, padding included.
        max_length: Pairs with more tokens on a side, EOS included, are skipped; `skipped_examples` counts them.
        seed: Seed for the order of the pairs.
        sampling_alpha: Subword regularisation. Above 0, the segmentation of each sentence is drawn anew in each epoch,
            with a probability proportional to P(segmentation)**alpha; 0 reads the stored segmentation, which is the
            best. Batches are planned with room for longer segmentations, up to `max_length`. A segmentation that does
            not fit is drawn again, and a sentence that never fits keeps the stored one
            (`pipelines.streaming.subwords.sampler`).
        corpus_temperature: Above 1, small corpora of a mixture are sampled more often than their weights say; without
            effect on a single corpus (`pipelines.streaming.mixing`).
        packed: True to place several pairs in each row; all batches then have the shape that
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
