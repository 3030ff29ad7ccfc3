"""Writes the part of a model card that shows how to call the model, with one function for each model format."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

from keras_nmt.app.decoding.ctranslate2_graph import VOCABULARY
from keras_nmt.app.exporting.golden_translations import GoldenTranslation
from keras_nmt.app.exporting.warm_up import MODEL_NAME

LONG_EXAMPLE = 200  # characters


def example_of(translations: Sequence[GoldenTranslation]) -> GoldenTranslation:
    """Returns the translation that shows how to call a model: the middle one, or the shortest if that is long."""
    middle = translations[len(translations) // 2]
    return middle if len(middle.text) <= LONG_EXAMPLE else min(translations, key=lambda one: len(one.text))


def saved_model_usage(definitions: Mapping[str, SignatureDef], example: GoldenTranslation, outputs: str) -> str:
    """Returns Markdown that shows how to call a SavedModel in Python and over HTTP, with a table of its signatures.

    Args:
        definitions: The signatures of the SavedModel, by name.
        example: The example text, with its translation.
        outputs: The noun for outputs of the model, in the plural, such as "translations".
    """
    notes = _NOTES.format(outputs=outputs)
    return "\n\n".join([_in_python(example), _over_http(example), signature_table(definitions), notes])


def _in_python(example: GoldenTranslation) -> str:
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

On a CPU, several batches at once are faster than several threads for each batch. For large amounts of text, call
`tf.config.threading.set_intra_op_parallelism_threads(1)` before anything else, then `model.translate` from as many
threads as there are processors. For the server below, `--tensorflow_intra_op_parallelism=1` does the same."""


def _over_http(example: GoldenTranslation) -> str:
    body = json.dumps({"instances": [example.text]}, ensure_ascii=False)
    body = body.replace("'", "\\u0027")  # the body is within single quotes in the shell command
    return f"""\
With [TensorFlow Serving](https://www.tensorflow.org/tfx/guide/serving), which includes the tokeniser's operations.
EXPORT is the folder that contains this version's folder:

```
tensorflow_model_server --model_name={MODEL_NAME} --model_base_path=EXPORT --rest_api_port=8501
curl -X POST http://localhost:8501/v1/models/{MODEL_NAME}:predict -d '{body}'
```

`serving_default` takes only texts. `translate` and the other signatures have settings; name the signature beside the
inputs: `{{"signature_name": "translate", "inputs": …}}`. A request in JSON needs every input of a signature. A request
over gRPC may leave out inputs that have a default, if the server is recent."""


_NOTES = """\
`[]` is a scalar and `[?]` a list of any length. The outputs `translations` are {outputs}.
A score is the log-probability of an output divided by the length penalty ((5 + length) / 6) ^ `length_penalty`.
TensorFlow Serving warms up with `assets.extra/tf_serving_warmup_requests` before it takes requests.
`python assets.extra/check_golden_translations.py` checks that the model's {outputs} on your machine are those of the
machine that exported it. On another processor, above all in bfloat16, {outputs} with nearly equal scores may swap."""


def generation_usage(definitions: Mapping[str, SignatureDef], example: GoldenTranslation) -> str:
    """Returns Markdown that shows how to continue a text with a SavedModel, with a table of its signatures.

    Args:
        definitions: The signatures of the SavedModel, by name.
        example: The example prompt, with the text that the model writes after it with the seed 0.
    """
    prompt = json.dumps(example.text, ensure_ascii=False)
    body = json.dumps({"instances": [example.text]}, ensure_ascii=False).replace("'", "\\u0027")
    python = _GENERATION_IN_PYTHON.format(prompt=prompt, text=repr(example.translation))
    http = _GENERATION_OVER_HTTP.format(name=MODEL_NAME, body=body)
    return "\n\n".join([python, http, signature_table(definitions), _GENERATION_NOTES])


_GENERATION_IN_PYTHON = """\
A SavedModel with the tokeniser inside: strings in, strings out. With `pip install tensorflow tensorflow-text`, in the
folder of this card:

```python
import tensorflow as tf
import tensorflow_text  # registers the tokeniser's operations

model = tf.saved_model.load(".")
found = model.generate([{prompt}], seeds=[0])
print(repr(found["texts"].numpy()[0, 0].decode()))
# {text}
```

`temperature`, `top_k`, `top_p`, `max_tokens` and `samples` are further arguments: `model.generate(["…"], seeds=[7],
temperature=0.8, max_tokens=200)`. With `temperature=0`, each token is the most probable one.
`model.score(["…"])["log_probabilities"]` has the logarithm of the probability of a whole text."""

_GENERATION_OVER_HTTP = """\
With [TensorFlow Serving](https://www.tensorflow.org/tfx/guide/serving), which includes the tokeniser's operations.
EXPORT is the folder that contains this version's folder:

```
tensorflow_model_server --model_name={name} --model_base_path=EXPORT --rest_api_port=8501
curl -X POST http://localhost:8501/v1/models/{name}:predict -d '{body}'
```

`serving_default` takes only prompts, and always writes the same text after a prompt: that of the seed 0. `generate` has
seeds and settings; name the signature beside the inputs: `{{"signature_name": "generate", "inputs": …}}`. A request in
JSON needs every input of a signature. A request over gRPC may leave out inputs that have a default, if the server is
recent. With nmt, `nmt generate EXPORT --prompt …` prints the text as it is written, and `nmt serve EXPORT` offers it on
a web page."""

_GENERATION_NOTES = """\
`[]` is a scalar and `[?]` a list of any length. The output `texts` of `generate` has a row for each prompt and a column
for each sample; the texts do not include the prompt. A score is the logarithm of a text's probability.
`token_log_probabilities` are those of the model before `temperature`, `top_k` and `top_p` are applied. `ended` says if
the model ended the text itself, before `max_tokens`. TensorFlow Serving warms up with
`assets.extra/tf_serving_warmup_requests` before it takes requests. `python assets.extra/check_golden_translations.py`
checks that the model writes the same texts on your machine as on the machine that exported it. On another processor,
above all in bfloat16, a text may differ after a place where two tokens are equally likely."""


def ctranslate2_usage(example: GoldenTranslation, options: Mapping[str, Any]) -> str:
    """Returns Markdown that shows how to call a CTranslate2 model in Python.

    Args:
        example: The example text, with its translation.
        options: The settings of the beam search, by the names of the fields of `DecodingOptions`.
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

CTranslate2's length penalty differs from this project's, so its own search may choose another translation.
`nmt translate` with this folder searches as the run does. It also splits long input, which the lines above do not."""


def signature_table(definitions: Mapping[str, SignatureDef]) -> str:
    """Makes a Markdown table with a row for each signature: its inputs with their defaults, and its outputs."""
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


def _tensor(name: str, info: TensorInfo) -> str:
    """Formats the name, data type and shape of a tensor, such as "`texts` string [?]"."""
    axes = [str(axis.size) if axis.size >= 0 else "?" for axis in info.tensor_shape.dim]
    return f"`{name}` {tf.as_dtype(info.dtype).name} [{', '.join(axes)}]"


def _defaults(definition: SignatureDef) -> dict[str, Any]:
    """Returns the default values of a signature's inputs as JSON values, by input name. All defaults are scalars."""
    return {key: _plain(tf.make_ndarray(definition.defaults[key])[()]) for key in sorted(definition.defaults)}


def _plain(value: Any) -> Any:
    """Converts a scalar to a JSON value. A float32 gets only the digits that it needs: 0.6, not 0.60000002384."""
    return float(str(value)) if isinstance(value, np.float32) else value.item()
