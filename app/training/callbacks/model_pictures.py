"""Writes data about the model for TensorBoard: attention, histograms, the embedding projector, hyperparameters."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import keras
import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins import projector
from tensorboard.plugins.histogram.summary_v2 import histogram_pb
from tensorboard.plugins.hparams import summary_v2 as hparams

from keras_nmt.app.config import Sections
from keras_nmt.app.runtime.utf8_names import in_utf8
from keras_nmt.app.training.callbacks.attention_pictures import write_attention
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary

ATTENTION_SENTENCES = 2
METADATA = "pieces.tsv"
BUCKETS = 30
SECONDS_BETWEEN = 60.0  # minimum time between two writes, because each write takes some seconds


class ModelPictures:
    """Writes pictures and tables of a model to TensorBoard while the model is trained.

    Args:
        folder: The directory of TensorBoard's files.
        vocabulary: The vocabulary of the training data.
        settings: The configuration by section, for the HParams tab.
    """

    def __init__(self, folder: Path, vocabulary: AnyVocabulary, settings: Sections) -> None:
        self.folder = folder
        self.vocabulary = vocabulary
        self.settings = settings
        self._has_hyperparameters = False
        self._due = 0.0

    def write(self, trainer: Trainer, sentences: Sequence[tuple[str, str]], results: Mapping[str, float]) -> None:
        """Writes all data to the current TensorBoard writer. Does nothing if the last write was less than 60 s ago.

        Args:
            trainer: The trainer of the model to show.
            sentences: Pairs of a source and its translation. Attention is drawn for the first two pairs if the model
                has an encoder.
            results: The metrics on the dev set. Their names are listed beside the hyperparameters.
        """
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + SECONDS_BETWEEN
        self.write_all(trainer, sentences, results)

    def write_all(self, trainer: Trainer, sentences: Sequence[tuple[str, str]], results: Mapping[str, float]) -> None:
        """Writes all data as `write` does, even if the last write was less than 60 s ago."""
        transformer = trainer.transformer
        if transformer.config.encoder_layers:
            write_attention(transformer, self.vocabulary, sentences[:ATTENTION_SENTENCES])
        write_histograms(transformer.trainable_variables, trainer.optimizer.gradient_averages)
        if not self._has_hyperparameters:
            self.write_hyperparameters(results)
            self._has_hyperparameters = True
        self.write_projector(transformer.embedding.embeddings)

    def write_hyperparameters(self, metrics: Iterable[str]) -> None:
        """Writes the configuration, and the names of the metrics by which the HParams tab compares runs."""
        flat = {f"{section}.{name}": value for section, of in self.settings.items() for name, value in of.items()}
        known = {name: value for name, value in flat.items() if isinstance(value, bool | int | float | str)}
        hparams.hparams_config([hparams.HParam(name) for name in known], [hparams.Metric(name) for name in metrics])
        hparams.hparams(known)

    def write_projector(self, embeddings: keras.Variable) -> None:
        """Writes the embedding of each piece for TensorBoard's Projector tab. Replaces earlier embeddings."""
        self.folder.mkdir(parents=True, exist_ok=True)
        labels = (piece.replace("\t", " ").replace("\n", " ") or " " for piece in self.vocabulary.pieces())
        (self.folder / METADATA).write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
        checkpoint = tf.train.Checkpoint(embedding=tf.Variable(keras.ops.convert_to_numpy(embeddings)))
        checkpoint.write(in_utf8(self.folder / "embedding.ckpt"))
        config = projector.ProjectorConfig(model_checkpoint_path="embedding.ckpt")
        config.embeddings.add(tensor_name="embedding/.ATTRIBUTES/VARIABLE_VALUE", metadata_path=METADATA)
        projector.visualize_embeddings(in_utf8(self.folder), config)


def write_histograms(weights: Sequence[keras.Variable], gradient_averages: Sequence[keras.Variable]) -> None:
    """Writes histograms of the weights and of the moving averages of their gradients.

    The histograms are computed in NumPy. `tf.summary.histogram` would need memory for 30 numbers per element of a
    weight.
    """
    summary = Summary()
    for folder, variables in (("weights", weights), ("gradients, moving average", gradient_averages)):
        for weight, variable in zip(weights, variables, strict=True):
            values = keras.ops.convert_to_numpy(variable)
            histogram = histogram_pb(f"{folder}/{weight.path.removeprefix('transformer/')}", values, BUCKETS)
            summary.value.extend(histogram.value)
    tf.summary.experimental.write_raw_pb(summary.SerializeToString())
