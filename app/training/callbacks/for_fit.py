"""Callbacks for Keras' own `fit` with a `Transformer`: dev BLEU, sample translations, pictures of attention."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from app.decoding.options import DecodingOptions
from app.decoding.translation_graph import TranslationGraph
from app.decoding.translator import Translator
from app.evaluation import score
from app.runtime.utf8_names import in_utf8
from app.training.callbacks.attention_pictures import attention_picture
from pipelines.vocabulary.loading import AnyVocabulary
from pipelines.vocabulary.tokenizer import BOS, EOS


class _Translating(keras.callbacks.Callback):
    """Translates with the model that is being trained.

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
        """Returns the translation of each line with the weights as they are."""
        if self._translator is None:
            graph = TranslationGraph(self.model, self.vocabulary, self.decoding)
            self._translator = Translator(graph.signatures())
        return [translation.text for translation in self._translator.translate(list(lines))]


class DevBleu(_Translating):
    """Translates a dev set after each epoch and adds `val_bleu` to the logs.

    Other callbacks can watch it, e.g. `ModelCheckpoint(monitor="val_bleu", mode="max")`, if they come later in the
    list of callbacks.

    Args:
        vocabulary: The vocabulary of the training data.
        sources: Lines to translate.
        references: The right translation of each.
        target_language: The language of the references, as a code; it decides how sacreBLEU splits them into tokens.
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
        """Scores the translations."""
        found = score(self.translate(self.sources), self.references, target_language=self.target_language)
        if logs is not None:
            logs["val_bleu"] = found.bleu


class SampleTranslations(_Translating):
    """Writes translations of a few sentences to TensorBoard after each epoch.

    Args:
        vocabulary: The vocabulary of the training data.
        sources: Lines to translate.
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
        """Writes a table of two columns."""
        rows = zip(self.sources, self.translate(self.sources), strict=True)
        table = "\n".join(f"{source.replace('|', '&#124;')} | {text.replace('|', '&#124;')}" for source, text in rows)
        with self.writer.as_default(step=epoch):
            tf.summary.text("samples", f"source | translation\n---|---\n{table}")
        self.writer.flush()


class AttentionPictures(_Translating):
    """Writes pictures of the attention of one translated sentence to TensorBoard after each epoch.

    There is one picture for each attention ("encoder", "decoder", "cross") and layer, with the heads side by side:
    a row for each query, a column for each key, brighter for a larger weight. The pieces stand beside it as text.

    Args:
        vocabulary: The vocabulary of the training data.
        source: The line to translate.
        log_dir: The directory of TensorBoard's files.
        decoding: The settings of the search.
    """

    def __init__(
        self,
        vocabulary: AnyVocabulary,
        source: str,
        log_dir: str | Path,
        *,
        decoding: DecodingOptions | None = None,
    ) -> None:
        super().__init__(vocabulary, decoding)
        self.source = source
        self.writer = tf.summary.create_file_writer(in_utf8(Path(log_dir)))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Draws the attention in every layer."""
        source, target = (self.ids(text) for text in (self.source, *self.translate([self.source])))
        maps = self.model.attention_maps(source, np.insert(target[:, :-1], 0, BOS, axis=1))
        with self.writer.as_default(step=epoch):
            for name, weights in maps.items():
                for layer, heads in enumerate(keras.ops.convert_to_numpy(weights)[:, 0], start=1):
                    tf.summary.image(f"attention/{name}/layer {layer}", attention_picture(heads)[None])
            words = self.vocabulary.pieces()
            sides = (" ".join(words[i] for i in side[0]) for side in (source, target))
            tf.summary.text("attention/pieces", "\n\n".join(sides))
        self.writer.flush()

    def ids(self, text: str) -> NDArray[np.int32]:
        """Returns the ids of a text with EOS behind them: int32 [1, T]."""
        return np.array([[*self.vocabulary.encode_outside([text])[0], EOS]], np.int32)
