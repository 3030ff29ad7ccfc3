"""Classes for a loaded version of an export and for one of its translation directions."""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from keras_nmt.app.decoding.generation.generator import TextGenerator
from keras_nmt.app.decoding.signatures import GENERATE, TOKENIZE, Signatures, inputs_of, with_translate
from keras_nmt.app.decoding.text.sentences import split_copied_outside, stretches_in_python
from keras_nmt.app.exporting.signature_definitions import definitions_of, signature_definitions
from keras_nmt.app.models.architecture import Architecture
from keras_nmt.app.models.export_layout import WARM_UP, is_ctranslate2
from keras_nmt.app.models.exports import ExportModel, load_export, reporting_damage
from keras_nmt.app.models.generation import generator_of_export
from keras_nmt.app.runtime.utf8_names import in_utf8
from keras_nmt.app.server.engine.export_folders import version_number
from keras_nmt.app.server.errors import NotFoundError
from keras_nmt.app.tasks.task import Task
from keras_nmt.pipelines.vocabulary.tags import tagged

TRIED_TOKENS = 8  # more than one step of a generator


class Version:
    """A loaded version of an export.

    Attributes:
        model: Name of the export.
        number: Number of the version.
        task: Task of the model.
        languages: Language pairs and domains that the version knows.
        signatures: Functions of the signatures, by name.
        definitions: Inputs and outputs of each signature, as TensorFlow Serving describes them.
        examples: Sentences of the dev set, each after the tags of its target language and domain; may be empty.
        has_faster_engine: True if another engine than that of the signature `inside` translates: CTranslate2.

    Args:
        model: Name of the export.
        folder: Folder of the version.

    Raises:
        UserError: The version cannot be loaded.
    """

    def __init__(self, model: str, folder: Path) -> None:
        self.model = model
        self.folder = folder
        self.number = version_number(folder)
        self.export = load_export(folder, {})
        self.task: Task = self.export.task
        self.languages = self.export.languages
        self.signatures: Signatures = self.export.signatures
        with reporting_damage(folder):
            from_functions = is_ctranslate2(folder)
            definitions = definitions_of(self.signatures) if from_functions else signature_definitions(folder)
            self.definitions = with_translate(definitions)
        self.examples: list[str] = self.export.examples
        self.has_faster_engine = isinstance(self.export, ExportModel) and self.export.engine is not None
        self._defaults = {
            name: {key: tf.make_ndarray(value)[()] for key, value in definition.defaults.items()}
            for name, definition in self.definitions.items()
        }

    def defaults_of(self, signature: str) -> dict[str, Any]:
        """Returns the default values of a signature's optional inputs."""
        return self._defaults[signature]

    def tensor(self, signature: str, name: str, value: Any) -> tf.Tensor:
        """Converts a value to a tensor with the dtype of the signature's input `name`."""
        return tf.convert_to_tensor(value, tf.as_dtype(self.definitions[signature].inputs[name].dtype))

    def token_counts(self, texts: Sequence[bytes]) -> list[int]:
        """Returns the number of tokens of each UTF-8 text, without the end-of-sentence token."""
        if not texts:
            return []
        if outside := self.export.python_vocabulary:
            return [len(ids) for ids in outside.encode_in_python([text.decode("utf-8", "replace") for text in texts])]
        lengths: list[int] = self.signatures[TOKENIZE](texts=tf.constant(texts))["lengths"].numpy().tolist()
        return lengths

    def check_signature(self, signature: str) -> None:
        """Checks that the export has a signature. Exports that contain only a CTranslate2 model lack some signatures.

        Raises:
            NotFoundError: The export does not have the signature.
        """
        if signature not in self.definitions:
            known = ", ".join(self.definitions)
            raise NotFoundError(f"{self.model} has no signature {signature}, which this needs; it has: {known}")

    def warm_up(self, names: Collection[str]) -> None:
        """Runs each signature in `names` once, with a request from the export's warm-up file for TensorFlow Serving.

        With the name `generate`, the steps of a language model run too.
        """
        if not (self.folder / WARM_UP).is_file():  # CTranslate2 exports have no such file and need no warm-up
            return
        left = set(names)
        for record in tf.data.TFRecordDataset(f"{in_utf8(self.folder)}/{WARM_UP}").as_numpy_iterator():
            request = PredictionLog.FromString(record).predict_log.request
            name = request.model_spec.signature_name
            if name in left:
                left.remove(name)
                function = self.signatures[name]
                function(**{key: tf.constant(tf.make_ndarray(request.inputs[key])) for key in inputs_of(function)})
        if GENERATE in names and GENERATE in self.definitions:
            few = self.generator.steps.settings.changed({"max_tokens": TRIED_TOKENS})
            deque(self.generator.chunks("", settings=few, alternatives=1), maxlen=0)

    @cached_property
    def architecture(self) -> Architecture:
        """The sizes of the model. Only for an export with the signature `inside`, because older ones lack some."""
        return Architecture.of_export(self.folder)

    @cached_property
    def generator(self) -> TextGenerator:
        """The generator of a language model. Raises `UserError` if the model does not continue texts."""
        return generator_of_export(self.export)


@dataclass(frozen=True)
class Direction:
    """A language pair of a model version, and the text's domain. The domain is None if the request names none.

    A model of another task than translation has one direction, between the roles of its input and output.
    """

    version: Version
    source: str
    target: str
    domain: str | None = None

    @property
    def task(self) -> Task:
        """The task of the model."""
        return self.version.task

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags at the beginning of the model's input that select the target language and the domain."""
        return self.version.languages.tags_of(self.target, self.domain)

    @property
    def examples(self) -> list[str]:
        """The sentences of the dev set that have this direction's tags, without the tags; may be empty."""
        parted = map(self.version.languages.split, self.version.examples)
        return [text for tags, text in parted if tags[: len(self.tags)] == self.tags]

    def encoded(self, text: str) -> bytes:
        """Returns the tags and then the text in UTF-8, as input of a signature. Tags inside the text are plain text.

        The text is first brought into the form that the task demands, for example words with spaces between them.
        """
        prepared = self.task.prepared(text)
        return self.version.languages.tagger(self.target, self.domain)(prepared).encode("utf-8", "replace")

    def tokens_to_read(self, text: bytes) -> int:
        """Returns the number of tokens of an encoded text that are for the model, tags included.

        What is copied has none, such as a sentence without letters; see `split_copied`.
        """
        if self.task.piece != "sentence":
            return sum(self.version.token_counts([text]))
        tags, plain = self.version.languages.split(text.decode())
        rests = [split_copied_outside(stretch.text).rest for stretch in stretches_in_python(plain)]
        return sum(self.version.token_counts([tagged(rest, tags).encode() for rest in rests if rest]))
