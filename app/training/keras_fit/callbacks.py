"""Callbacks for Keras' own `fit` with a `Transformer`: dev BLEU, sample translations, pictures of attention."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.decoding.translator import Translator
from keras_nmt.app.evaluation import score
from keras_nmt.app.runtime.utf8_names import in_utf8
from keras_nmt.app.tasks.samples import table
from keras_nmt.app.training.callbacks.attention_pictures import write_attention
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary


class _Translating(keras.callbacks.Callback):
    """Base class of callbacks that translate with the model that is being trained.

    Args:
        vocabulary: The vocabulary of the training data.
        decoding: The settings of the search.
    """

    def __init__(self, vocabulary: AnyVocabulary, decoding: DecodingOptions | None = None) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.decoding = decoding or DecodingOptions()
        self._translator: Translator | None = None

    def translate(self, lines: Sequence[str]) -> list[str]:
        """Returns the translation of each line with the current weights."""
        if self._translator is None:
            graph = TranslationGraph(self.model, self.vocabulary, self.decoding)
            self._translator = Translator(graph.signatures())
        return [translation.text for translation in self._translator.translate(list(lines))]


class DevBleu(_Translating):
    """Translates a dev set after each epoch, and adds the BLEU of the translations to the logs as `val_bleu`.

    Callbacks that come later in the list of callbacks can use `val_bleu`, for example
    `ModelCheckpoint(monitor="val_bleu", mode="max")`.

    Args:
        vocabulary: The vocabulary of the training data.
        sources: The lines to translate.
        references: The reference translation of each line.
        target_language: The language code of the references. It determines how sacreBLEU splits text into tokens.
        decoding: The settings of the search.
    """

    def __init__(
        self,
        vocabulary: AnyVocabulary,
        sources: Sequence[str],
        references: Sequence[str],
        *,
        target_language: str,
        decoding: DecodingOptions | None = None,
    ) -> None:
        super().__init__(vocabulary, decoding)
        if len(sources) != len(references) or not sources:
            raise ValueError(f"expected as many references as sources, got {len(references)} for {len(sources)}")
        self.sources, self.references = list(sources), list(references)
        self.target_language = target_language

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Translates the dev set and adds `val_bleu` to `logs`."""
        found = score(self.translate(self.sources), self.references, target_language=self.target_language)
        if logs is not None:
            logs["val_bleu"] = found.bleu


class _TensorBoardSentences(_Translating):
    """Base class of callbacks that translate a few sentences after each epoch and write about them to TensorBoard.

    Args:
        vocabulary: The vocabulary of the training data.
        sources: The lines to translate.
        log_dir: The directory of TensorBoard's files.
        decoding: The settings of the search.
    """

    def __init__(
        self,
        vocabulary: AnyVocabulary,
        sources: Sequence[str],
        log_dir: str | Path,
        *,
        decoding: DecodingOptions | None = None,
    ) -> None:
        super().__init__(vocabulary, decoding)
        self.sources = list(sources)
        self.writer = tf.summary.create_file_writer(in_utf8(Path(log_dir)))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Translates the sentences and calls `write` with the sources and their translations."""
        sentences = list(zip(self.sources, self.translate(self.sources), strict=True))
        with self.writer.as_default(step=epoch):
            self.write(sentences)
        self.writer.flush()

    @abstractmethod
    def write(self, sentences: Sequence[tuple[str, str]]) -> None:
        """Writes to the current TensorBoard writer. `sentences` are pairs of a source and its translation."""


class SampleTranslations(_TensorBoardSentences):
    """Writes translations of a few sentences to TensorBoard after each epoch.

    Args:
        vocabulary: The vocabulary of the training data.
        sources: The lines to translate.
        log_dir: The directory of TensorBoard's files.
        decoding: The settings of the search.
    """

    def write(self, sentences: Sequence[tuple[str, str]]) -> None:
        """Writes a table with a column of sources and a column of translations."""
        tf.summary.text("samples", table(("source", "translation"), sentences))


class AttentionPictures(_TensorBoardSentences):
    """Writes pictures of the attention weights in a few translated sentences to TensorBoard after each epoch.

    For each sentence, there is one picture for each kind of attention ("encoder", "decoder", "cross"). A picture has a
    row for each layer and a column for each head; see `attention_picture`.

    Args:
        vocabulary: The vocabulary of the training data.
        sources: The lines to translate.
        log_dir: The directory of TensorBoard's files.
        decoding: The settings of the search.
    """

    def write(self, sentences: Sequence[tuple[str, str]]) -> None:
        """Draws the attention weights of the sentences."""
        write_attention(self.model, self.vocabulary, sentences)
