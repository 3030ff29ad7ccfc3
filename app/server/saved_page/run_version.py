"""A checkpoint of a run in the form of a version of an export, so that both show their numbers in the same way."""

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from keras_nmt.app.decoding.inside.signatures import INSIDE, INSIDE_LAYER
from keras_nmt.app.decoding.signatures import DETOKENIZE, TOKENIZE
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.exporting.signature_definitions import definitions_of
from keras_nmt.app.models.architecture import Architecture
from keras_nmt.app.models.loading import RunModel
from keras_nmt.app.server.engine.versions import Version

USED = (INSIDE, INSIDE_LAYER, TOKENIZE, DETOKENIZE)  # the others are not traced, because tracing takes long


class RunVersion(Version):
    """A checkpoint of a run, with the signatures that show what the model computes.

    Args:
        path: The run.
        checkpoint: The checkpoint, in the form that `choose_checkpoint` takes; None for the one that `nmt translate`
            uses.

    Raises:
        UserError: There is no such run or checkpoint, or the checkpoint is damaged.
    """

    def __init__(self, path: Path, checkpoint: str | None) -> None:
        model = RunModel(path, checkpoint=checkpoint)
        self.export = model  # type: ignore[assignment]  # it has the settings of the search, as an export has
        self.model, self.folder, self.number = path.resolve().name, path, model.checkpoint.step
        self.task, self.languages, self.examples = model.task, model.languages, []
        engine = model.engine
        self.signatures = {name: function for name, function in engine.signatures().items() if name in USED}
        self.definitions = definitions_of(self.signatures)
        self._defaults = {name: {} for name in self.definitions}  # these signatures have no optional inputs
        network = engine.transformer if isinstance(engine, TranslationGraph) else engine.model
        self.architecture = Architecture.of(model.run.configuration.as_sections()["model"], network.count_params())

    def token_counts(self, texts: Sequence[bytes]) -> list[int]:
        """Returns the number of tokens of each UTF-8 text, without the end-of-sentence token."""
        lengths: list[int] = self.signatures[TOKENIZE](texts=tf.constant(texts))["lengths"].numpy().tolist()
        return lengths
