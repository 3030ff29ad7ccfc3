"""The part of a model card that says how to call the model, with a sentence it was held to; one function a format."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from app.decoding.ctranslate2_graph import VOCABULARY
from app.exporting.golden_translations import GoldenTranslation
from app.exporting.warm_up import MODEL_NAME


def saved_model_usage(definitions: Mapping[str, SignatureDef], example: GoldenTranslation) -> str:
    """In Python and over HTTP, and a table of the signatures.

    Args:
        definitions: The SavedModel's.
        example: Is asked for.
    """
    body = json.dumps({"instances": [example.text]}, ensure_ascii=False).replace(
        "'", "\\u0027"
    )  # for the shell's quotes
    return f"""\
A SavedModel with tokeniser and search inside: strings in, strings out. With `pip install tensorflow tensorflow-text`,
in the folder of this card:

```python
import tensorflow as tf
import tensorflow_text  # registers the tokeniser's operations

model = tf.saved_model.load(".")
found = model.translate([{json.dumps(example.text, ensure_ascii=False)}])
print(found["translations"].numpy()[0].decode(), found["scores"].numpy()[0])
# {example.translation} {np.float32(example.score)!s}
```

Much text on a CPU is translated faster in several batches at once than with several threads for each batch:
`tf.config.threading.set_intra_op_parallelism_threads(1)` before anything else, then `model.translate` from as many
threads as there are processors. `--tensorflow_intra_op_parallelism=1` is the same for the server below.

With [TensorFlow Serving](https://www.tensorflow.org/tfx/guide/serving), which links the tokeniser's operations, and
the folder that holds this version's folder as EXPORT:

```
tensorflow_model_server --model_name={MODEL_NAME} --model_base_path=EXPORT --rest_api_port=8501
curl -X POST http://localhost:8501/v1/models/{MODEL_NAME}:predict -d '{body}'
```

`serving_default` takes texts alone; what can be set is in `translate` and the other signatures, which are named beside
the inputs: `{{"signature_name": "score", "inputs": …}}`. Requests in JSON give every input of a signature; those over
gRPC may leave out inputs that have a default, if the server is recent.

{signature_table(definitions)}

`[]` is a scalar and `[?]` a list of any length.
A score is the log-probability of a translation divided by the length penalty ((5 + length) / 6) ^ `length_penalty`.
`assets.extra/tf_serving_warmup_requests` has TensorFlow Serving warm up before it takes requests.
`python assets.extra/check_golden_translations.py` checks that the model translates on your machine as it did where it
was exported; on another processor, in bfloat16 above all, a near tie of two translations may fall otherwise."""


def ctranslate2_usage(example: GoldenTranslation, options: Mapping[str, Any]) -> str:
    """In Python.

    Args:
        example: Is asked for.
        options: Of the search, as `DecodingOptions` has them.
    """
    return f"""\
A model for [CTranslate2](https://github.com/OpenNMT/CTranslate2), an engine in C++ for CPUs and GPUs. With
`pip install ctranslate2 sentencepiece`, in the folder of this card:

```python
import ctranslate2
import sentencepiece

translator = ctranslate2.Translator(".")
vocabulary = sentencepiece.SentencePieceProcessor(model_file="{VOCABULARY}")
pieces = vocabulary.encode([{json.dumps(example.text, ensure_ascii=False)}], out_type=str)
found = translator.translate_batch(pieces, beam_size={options["beam_size"]})
print(vocabulary.decode(found[0].hypotheses[0]))
```

CTranslate2 divides scores by another length penalty than this project's, so its own search may choose another
translation. `nmt translate`, given the folder, searches as the run does; it also splits long input, which the lines
above do not."""


def signature_table(definitions: Mapping[str, SignatureDef]) -> str:
    """A row a signature: inputs, with the defaults of those that have one, and outputs."""
    rows = ["| signature | inputs | outputs |", "|---|---|---|"]
    for name, definition in definitions.items():
        defaults = _defaults(definition)
        inputs = [
            _tensor(key, info) + (f" = {defaults[key]}" if key in defaults else "")
            for key, info in sorted(definition.inputs.items(), key=lambda item: (item[0] in defaults, item[0]))
        ]
        outputs = [_tensor(key, info) for key, info in sorted(definition.outputs.items())]
        rows.append(f"| `{name}` | {'<br>'.join(inputs)} | {'<br>'.join(outputs)} |")
    return "\n".join(rows)


def _tensor(name: str, info: Any) -> str:
    """A name with its data type and shape, such as "`texts` string [N]"."""
    axes = [str(axis.size) if axis.size >= 0 else "?" for axis in info.tensor_shape.dim]
    return f"`{name}` {tf.as_dtype(info.dtype).name} [{', '.join(axes)}]"


def _defaults(definition: SignatureDef) -> dict[str, Any]:
    """The defaults of a signature's inputs, all of them scalars, as JSON has them."""
    return {key: _plain(tf.make_ndarray(definition.defaults[key])[()]) for key in sorted(definition.defaults)}


def _plain(value: Any) -> Any:
    """A float32 with no more digits than it needs: 0.6, not 0.60000002384."""
    return float(str(value)) if isinstance(value, np.float32) else value.item()
