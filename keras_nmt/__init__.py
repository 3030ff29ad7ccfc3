"""The Transformer of *Attention Is All You Need* for Keras 3 and TensorFlow: the Python API.

A public name is imported only when it is first used, so that `import keras_nmt` does not import TensorFlow. The code is
in `layers/`, `pipelines/` and `app/`. docs/python.md has examples.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_nmt.app.decoding.options import DecodingOptions as DecodingOptions
    from keras_nmt.app.decoding.translator import Translation as Translation
    from keras_nmt.app.models.loading import load_model as load_model
    from keras_nmt.app.models.of_transformer import save_run as save_run
    from keras_nmt.app.models.of_transformer import translator as translator
    from keras_nmt.app.training.keras_fit.callbacks import AttentionPictures as AttentionPictures
    from keras_nmt.app.training.keras_fit.callbacks import DevBleu as DevBleu
    from keras_nmt.app.training.keras_fit.callbacks import SampleTranslations as SampleTranslations
    from keras_nmt.app.training.keras_fit.loss import LabelSmoothedCrossEntropy as LabelSmoothedCrossEntropy
    from keras_nmt.layers.config import TransformerConfig as TransformerConfig
    from keras_nmt.layers.language_model import LanguageModel as LanguageModel
    from keras_nmt.layers.metrics import Perplexity as Perplexity
    from keras_nmt.layers.metrics import TokenAccuracy as TokenAccuracy
    from keras_nmt.layers.schedules import CosineSchedule as CosineSchedule
    from keras_nmt.layers.schedules import NoamSchedule as NoamSchedule
    from keras_nmt.layers.transformer import Transformer as Transformer
    from keras_nmt.pipelines.preparation.prepare import PreparationOptions as PreparationOptions
    from keras_nmt.pipelines.preparation.prepare import prepare as prepare
    from keras_nmt.pipelines.shards.manifest import Manifest as Manifest
    from keras_nmt.pipelines.sources.corpora import LanguagePair as LanguagePair
    from keras_nmt.pipelines.streaming.options import StreamOptions as StreamOptions
    from keras_nmt.pipelines.streaming.stream import evaluation_stream as evaluation_stream
    from keras_nmt.pipelines.streaming.stream import training_stream as training_stream
    from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary as Vocabulary

_MODULES = {
    "AttentionPictures": "keras_nmt.app.training.keras_fit.callbacks",
    "CosineSchedule": "keras_nmt.layers.schedules",
    "DecodingOptions": "keras_nmt.app.decoding.options",
    "DevBleu": "keras_nmt.app.training.keras_fit.callbacks",
    "LabelSmoothedCrossEntropy": "keras_nmt.app.training.keras_fit.loss",
    "LanguageModel": "keras_nmt.layers.language_model",
    "LanguagePair": "keras_nmt.pipelines.sources.corpora",
    "Manifest": "keras_nmt.pipelines.shards.manifest",
    "NoamSchedule": "keras_nmt.layers.schedules",
    "Perplexity": "keras_nmt.layers.metrics",
    "PreparationOptions": "keras_nmt.pipelines.preparation.prepare",
    "SampleTranslations": "keras_nmt.app.training.keras_fit.callbacks",
    "StreamOptions": "keras_nmt.pipelines.streaming.options",
    "TokenAccuracy": "keras_nmt.layers.metrics",
    "Transformer": "keras_nmt.layers.transformer",
    "TransformerConfig": "keras_nmt.layers.config",
    "Translation": "keras_nmt.app.decoding.translator",
    "Vocabulary": "keras_nmt.pipelines.vocabulary.tokenizer",
    "evaluation_stream": "keras_nmt.pipelines.streaming.stream",
    "load_model": "keras_nmt.app.models.loading",
    "prepare": "keras_nmt.pipelines.preparation.prepare",
    "save_run": "keras_nmt.app.models.of_transformer",
    "training_stream": "keras_nmt.pipelines.streaming.stream",
    "translator": "keras_nmt.app.models.of_transformer",
}

__all__ = sorted(_MODULES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, and returns its value.

    Raises:
        AttributeError: The package has no public name `name`.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from keras_nmt.app.runtime.processor_settings import apply_processor_settings

    apply_processor_settings()  # has no effect if TensorFlow is already imported
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Returns the names of this module, including the public names that are not imported yet."""
    return [*globals(), *_MODULES]
