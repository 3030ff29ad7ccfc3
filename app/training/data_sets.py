"""The training data and the dev set of a training, which are opened once and provide all its data streams."""

from dataclasses import dataclass, replace

import tensorflow as tf

from keras_nmt.app.config import TrainingConfig
from keras_nmt.app.training.packing import stream_options
from keras_nmt.pipelines.shards.lanes import ONLY_HOST, Host
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.streaming.batching import ROWS_MULTIPLE
from keras_nmt.pipelines.streaming.stream import PlannedBatch, evaluation_stream, planned_batches, stream_from
from keras_nmt.pipelines.streaming.windows import TrainingData


@dataclass(frozen=True)
class DataSets:
    """Prepared data that was opened with the settings of a training.

    Attributes:
        manifest: The manifest of the prepared data.
        training: The training pairs and the order in which they are read.
        dev: The dev set. Its batches need no more memory than one accumulated part of a training batch.
    """

    manifest: Manifest
    training: TrainingData
    dev: tf.data.Dataset

    @classmethod
    def open(cls, manifest: Manifest, settings: TrainingConfig) -> "DataSets":
        """Opens the data. `settings.accumulation` must be resolved, that is, not 0.

        Raises:
            DataError: The data does not fit the settings, for example because all pairs are too long.
        """
        training = TrainingData.open(manifest, stream_options(settings))
        part_tokens = max(settings.batch_tokens // settings.accumulation, ROWS_MULTIPLE * settings.max_length)
        dev_tokens = min(part_tokens, settings.batch_tokens)
        dev = evaluation_stream(manifest, batch_tokens=dev_tokens, max_length=settings.max_length)
        return cls(manifest, training, dev)

    def stream(self, after_step: int, host: Host = ONLY_HOST) -> tf.data.Dataset:
        """Returns an endless data set of the training batches that follow step `after_step`.

        With several machines, each batch has only the rows of the machine `host`.
        """
        return stream_from(replace(self.training, host=host), start_batch=after_step)

    def first_epoch(self) -> list[PlannedBatch]:
        """Returns the shapes and token counts of the first epoch's batches, without reading their tokens."""
        return planned_batches(self.training)
