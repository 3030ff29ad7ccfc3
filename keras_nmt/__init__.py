"""The Transformer of *Attention Is All You Need* for Keras 3 and TensorFlow: the Python API.

Each name is imported when it is first used, so that `import keras_nmt` takes no time. What it is made of lies in
`layers/`, `pipelines/` and `app/`; docs/python.md has examples.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.decoding.options import DecodingOptions as DecodingOptions
    from app.decoding.translator import Translation as Translation
    from app.models.loading import load_model as load_model
    from app.models.of_transformer import save_run as save_run
    from app.models.of_transformer import translator as translator
    from app.training.keras_fit.callbacks import AttentionPictures as AttentionPictures
    from app.training.keras_fit.callbacks import DevBleu as DevBleu
    from app.training.keras_fit.callbacks import SampleTranslations as SampleTranslations
    from app.training.keras_fit.loss import LabelSmoothedCrossEntropy as LabelSmoothedCrossEntropy
    from layers.config import TransformerConfig as TransformerConfig
    from layers.metrics import Perplexity as Perplexity
    from layers.metrics import TokenAccuracy as TokenAccuracy
    from layers.schedules import CosineSchedule as CosineSchedule
    from layers.schedules import NoamSchedule as NoamSchedule
    from layers.transformer import Transformer as Transformer
    from pipelines.preparation.prepare import PreparationOptions as PreparationOptions
    from pipelines.preparation.prepare import prepare as prepare
    from pipelines.shards.manifest import Manifest as Manifest
    from pipelines.sources.corpora import LanguagePair as LanguagePair
    from pipelines.streaming.options import StreamOptions as StreamOptions
    from pipelines.streaming.stream import evaluation_stream as evaluation_stream
    from pipelines.streaming.stream import training_stream as training_stream
    from pipelines.vocabulary.tokenizer import Vocabulary as Vocabulary

_MODULES = {
    "AttentionPictures": "app.training.keras_fit.callbacks",
    "CosineSchedule": "layers.schedules",
    "DecodingOptions": "app.decoding.options",
    "DevBleu": "app.training.keras_fit.callbacks",
    "LabelSmoothedCrossEntropy": "app.training.keras_fit.loss",
    "LanguagePair": "pipelines.sources.corpora",
    "Manifest": "pipelines.shards.manifest",
    "NoamSchedule": "layers.schedules",
    "Perplexity": "layers.metrics",
    "PreparationOptions": "pipelines.preparation.prepare",
    "SampleTranslations": "app.training.keras_fit.callbacks",
    "StreamOptions": "pipelines.streaming.options",
    "TokenAccuracy": "layers.metrics",
    "Transformer": "layers.transformer",
    "TransformerConfig": "layers.config",
    "Translation": "app.decoding.translator",
    "Vocabulary": "pipelines.vocabulary.tokenizer",
    "evaluation_stream": "pipelines.streaming.stream",
    "load_model": "app.models.loading",
    "prepare": "pipelines.preparation.prepare",
    "save_run": "app.models.of_transformer",
    "training_stream": "pipelines.streaming.stream",
    "translator": "app.models.of_transformer",
}

__all__ = sorted(_MODULES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used.

    Raises:
        AttributeError: There is no such name.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from app.runtime.processor_settings import apply_processor_settings

    apply_processor_settings()  # has an effect if TensorFlow is not imported yet
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Lists the public names."""
    return [*globals(), *_MODULES]
