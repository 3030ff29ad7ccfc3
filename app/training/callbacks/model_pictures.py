"""What TensorBoard shows of the model itself: attention, histograms, the embedding projector, hyperparameters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorboard.plugins import projector
from tensorboard.plugins.hparams import summary_v2 as hparams

from app.runtime.utf8_names import in_utf8
from app.training.callbacks.attention_pictures import write_attention
from app.training.trainer import Trainer
from pipelines.vocabulary.loading import AnyVocabulary

ATTENTION_SENTENCES = 2
METADATA = "pieces.tsv"


class ModelPictures:
    """Writes pictures of a model that is being trained.

    Args:
        folder: The directory of TensorBoard's files.
        vocabulary: The vocabulary of the training data.
        settings: The configuration by section, for the HParams tab.
    """

    def __init__(self, folder: Path, vocabulary: AnyVocabulary, settings: Mapping[str, Mapping[str, Any]]) -> None:
        self.folder = folder
        self.vocabulary = vocabulary
        self.settings = settings

    def write(self, trainer: Trainer, sentences: Sequence[tuple[str, str]], results: Mapping[str, float]) -> None:
        """Writes everything to the current TensorBoard writer.

        Args:
            trainer: The model, with the weights to show.
            sentences: Pairs of a source and its translation; the first ones are drawn.
            results: Figures of the dev set, shown beside the hyperparameters.
        """
        transformer = trainer.transformer
        write_attention(transformer, self.vocabulary, sentences[:ATTENTION_SENTENCES])
        moments = trainer.optimizer.gradient_averages
        for weight, moment in zip(transformer.trainable_variables, moments, strict=True):
            name = weight.path.removeprefix("transformer/")
            tf.summary.histogram(f"weights/{name}", weight.value)
            tf.summary.histogram(f"gradients, moving average/{name}", moment.value)
        self.write_hyperparameters(results)
        self.write_projector(transformer.embedding.embeddings)

    def write_hyperparameters(self, results: Mapping[str, float]) -> None:
        """Writes the configuration, and the figures that the HParams tab compares runs by."""
        flat = {f"{section}.{name}": value for section, of in self.settings.items() for name, value in of.items()}
        known = {name: value for name, value in flat.items() if isinstance(value, bool | int | float | str)}
        hparams.hparams(known)
        for name, value in results.items():
            tf.summary.scalar(f"hparams/{name}", value)

    def write_projector(self, embeddings: keras.Variable) -> None:
        """Writes the embeddings and their pieces for the Projector tab, in place of those of an earlier step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        labels = (piece.replace("\t", " ").replace("\n", " ") or " " for piece in self.vocabulary.pieces())
        (self.folder / METADATA).write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
        checkpoint = tf.train.Checkpoint(embedding=tf.Variable(keras.ops.convert_to_numpy(embeddings)))
        checkpoint.write(in_utf8(self.folder / "embedding.ckpt"))
        config = projector.ProjectorConfig(model_checkpoint_path="embedding.ckpt")
        config.embeddings.add(tensor_name="embedding/.ATTRIBUTES/VARIABLE_VALUE", metadata_path=METADATA)
        projector.visualize_embeddings(in_utf8(self.folder), config)
