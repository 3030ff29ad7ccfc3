"""What TensorFlow Serving runs when it loads a version, so that the first request is not the slow one.

It reads assets.extra/tf_serving_warmup_requests, a TFRecord of at most 1,000 `PredictionLog`s; of a request's
`model_spec` only the name of the signature counts. A request that fails keeps the server from loading the model. So
each gives every input, those with a default too: a server that knows of defaults feeds the same tensors where they are
left out (and so is as warm), one that does not would fail.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

from app.decoding.signatures import TRANSLATE
from app.exporting.golden_translations import GoldenTranslation
from app.exporting.signature_definitions import signature_definitions
from app.models.export_layout import WARM_UP
from pipelines.vocabulary.tokenizer import PAD, Vocabulary

MODEL_NAME = "nmt"  # what the documentation calls the model; a server takes the requests under any name
MOST_REQUESTS = 1000


def write_warm_up(version: Path, translations: Sequence[GoldenTranslation], vocabulary: Vocabulary) -> int:
    """Writes requests for all signatures of a SavedModel and gives their number.

    Args:
        version: Its folder.
        translations: Of texts as traffic has them; those that are empty are left out.
        vocabulary: The model's.
    """
    said = [translation for translation in translations if translation.text]
    with tf.io.TFRecordWriter(str(version / WARM_UP)) as file:
        written = 0
        for request in _requests(signature_definitions(version), said, vocabulary):
            file.write(PredictionLog(predict_log=PredictLog(request=request)).SerializeToString(deterministic=True))
            written += 1
    return written


def _requests(
    definitions: Mapping[str, SignatureDef], translations: Sequence[GoldenTranslation], vocabulary: Vocabulary
) -> Iterator[PredictRequest]:
    """One a signature with all texts; translation, which most requests ask for, has one a text too."""
    alone = [[translation] for translation in translations][: MOST_REQUESTS - len(definitions)]
    for name, definition in definitions.items():
        for batch in [translations, *(alone if name == TRANSLATE else [])]:
            yield _request(name, definition, _inputs(batch, vocabulary))


def _inputs(translations: Sequence[GoldenTranslation], vocabulary: Vocabulary) -> dict[str, Any]:
    """What inputs without a default are given, by name."""
    texts, targets = ([getattr(one, side) for one in translations] for side in ("text", "translation"))
    of_texts, of_targets = ([text.partition(" ")[0] for text in side] for side in (texts, targets))  # their first words
    return {
        "texts": texts,
        "text": texts[0] if texts else "",
        "targets": targets,
        "prefixes": of_targets,
        "source_terms": of_texts,
        "target_terms": of_targets,
        "seeds": list(range(len(texts))),
        "ids": vocabulary.encode(tf.constant(targets)).to_tensor(PAD).numpy(),
    }


def _request(name: str, definition: SignatureDef, values: Mapping[str, Any]) -> PredictRequest:
    request = PredictRequest()
    request.model_spec.name = MODEL_NAME
    request.model_spec.signature_name = name
    for key, info in definition.inputs.items():
        default = definition.defaults.get(key)
        value = values[key] if key in values else _nothing(info, rows=len(values["texts"]))
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value, info.dtype) if default is None else default)
    return request


def _nothing(info: TensorInfo, rows: int) -> np.ndarray:
    """Zeros or empty strings for an input that `_inputs` has no value for, such as seeds: [N, 1, ...]."""
    free = [rows, *[1] * len(info.tensor_shape.dim)]
    shape = [axis.size if axis.size >= 0 else size for axis, size in zip(info.tensor_shape.dim, free, strict=False)]
    return np.full(shape, "" if info.dtype == tf.string else 0)
