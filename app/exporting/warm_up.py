"""Writes requests that TensorFlow Serving runs when it loads a version, so that the first real request is fast.

The server reads assets.extra/tf_serving_warmup_requests, a TFRecord file of at most 1,000 `PredictionLog`s. From the
`model_spec` of a request, it uses only the signature name. If a request fails, the server does not load the model.
Older servers do not know that inputs have defaults. On such a server, a request that omits an input with a default
would fail. So each request contains all inputs, including the inputs that have a default.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

from keras_nmt.app.decoding.inside.signatures import KINDS
from keras_nmt.app.decoding.signatures import GENERATE, TRANSLATE
from keras_nmt.app.exporting.golden_translations import GoldenTranslation
from keras_nmt.app.exporting.signature_definitions import signature_definitions
from keras_nmt.app.models.export_layout import WARM_UP
from keras_nmt.pipelines.vocabulary.tokenizer import EOS, PAD, Vocabulary

MODEL_NAME = "nmt"  # the name in the documentation; a server may use any name
MOST_REQUESTS = 1000


def write_warm_up(version: Path, translations: Sequence[GoldenTranslation], vocabulary: Vocabulary) -> int:
    """Writes warm-up requests for all signatures of a SavedModel; returns the number of requests.

    Args:
        version: The folder of the SavedModel.
        translations: Typical texts and their translations. Empty texts are left out.
        vocabulary: The vocabulary of the model.
    """
    not_empty = [translation for translation in translations if translation.text]
    with tf.io.TFRecordWriter(str(version / WARM_UP)) as file:
        written = 0
        for request in _requests(signature_definitions(version), not_empty, vocabulary):
            file.write(PredictionLog(predict_log=PredictLog(request=request)).SerializeToString(deterministic=True))
            written += 1
    return written


def _requests(
    definitions: Mapping[str, SignatureDef], translations: Sequence[GoldenTranslation], vocabulary: Vocabulary
) -> Iterator[PredictRequest]:
    """For each signature, yields one request that contains all texts.

    For `translate` or `generate`, the signature that is called most, also yields one request for each single text.
    """
    alone = [[translation] for translation in translations][: MOST_REQUESTS - len(definitions)]
    for name, definition in definitions.items():
        for batch in [translations, *(alone if name in (TRANSLATE, GENERATE) else [])]:
            yield _request(name, definition, _inputs(batch, vocabulary))


def _inputs(translations: Sequence[GoldenTranslation], vocabulary: Vocabulary) -> dict[str, Any]:
    """Returns values for the inputs of signatures, by input name. A request uses them for inputs without default."""
    texts, targets = ([getattr(one, side) for one in translations] for side in ("text", "translation"))
    of_texts, of_targets = ([text.partition(" ")[0] for text in side] for side in (texts, targets))  # first words
    return {
        "texts": texts,
        "prompts": texts,
        "text": texts[0] if texts else "",
        "targets": targets,
        "prefixes": of_targets,
        "source_terms": of_texts,
        "target_terms": of_targets,
        "seeds": list(range(len(texts))),
        "ids": vocabulary.encode(tf.constant(targets)).to_tensor(PAD).numpy(),
        "source_ids": [EOS],
        "target_ids": [EOS],
        "kind": KINDS.index("decoder"),  # which every model has
    }


def _request(name: str, definition: SignatureDef, values: Mapping[str, Any]) -> PredictRequest:
    request = PredictRequest()
    request.model_spec.name = MODEL_NAME
    request.model_spec.signature_name = name
    for key, info in definition.inputs.items():
        default = definition.defaults.get(key)
        value = values[key] if key in values else _zeros(info, rows=len(values["texts"]))
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value, info.dtype) if default is None else default)
    return request


def _zeros(info: TensorInfo, rows: int) -> np.ndarray:
    """Returns zeros or empty strings, [rows, 1, …], as the value of an input for which `_inputs` has no value."""
    free = [rows, *[1] * len(info.tensor_shape.dim)]
    shape = [axis.size if axis.size >= 0 else size for axis, size in zip(info.tensor_shape.dim, free, strict=False)]
    return np.full(shape, "" if info.dtype == tf.string else 0)
