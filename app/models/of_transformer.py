"""Translates with a `Transformer` in Python, such as one trained by Keras' `fit`, or saves it as a run."""

from pathlib import Path

import keras

from keras_nmt.app.config import Configuration, TrainingConfig
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.decoding.translator import Translator
from keras_nmt.app.errors import UserError
from keras_nmt.app.runs.checkpoints import IMPORTED, write_checkpoint
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.layers import AnyModel, Transformer, network_of
from keras_nmt.pipelines.atomic_files import atomic_folder
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary


def translator(
    transformer: Transformer, vocabulary: AnyVocabulary, decoding: DecodingOptions | None = None
) -> Translator:
    """Returns a translator that uses a model in memory. If the weights change, the translator uses the new weights.

    Args:
        transformer: The model.
        vocabulary: The vocabulary that the model was trained with.
        decoding: The settings of the search; None for the defaults of `DecodingOptions`.
    """
    return Translator(TranslationGraph(transformer, vocabulary, decoding or DecodingOptions()).signatures())


def save_run(
    transformer: AnyModel, data_dir: str | Path, out: str | Path, decoding: DecodingOptions | None = None
) -> Path:
    """Writes a model as a run, for `nmt translate`, `nmt evaluate`, `nmt export` and `nmt serve`.

    The run has one checkpoint, of step 0, without optimizer state. So `nmt train` cannot resume it.

    Args:
        transformer: The model.
        data_dir: The prepared data that the model was trained on.
        out: The folder of the run, which must be new or empty. The run is written to another folder, then renamed.
        decoding: The settings of the search; None for the defaults of `DecodingOptions`.

    Returns:
        `out`.

    Raises:
        UserError: `out` exists and is not an empty folder, or the vocabulary sizes of model and data differ.
        DataError: `data_dir` is not prepared data.
    """
    data, out = Manifest.load(data_dir), Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out} exists; choose another folder")
    if transformer.config.vocabulary_size != data.vocabulary_size:
        raise UserError(
            f"the model has {transformer.config.vocabulary_size} pieces, but the vocabulary of {data_dir} has "
            f"{data.vocabulary_size}; pass the data that it was trained on"
        )
    in_file = network_of(transformer.config, name="transformer")  # its weights have the names that a run uses
    values = (keras.ops.convert_to_numpy(weight) for weight in transformer.weights)
    weights = dict(zip((weight.path for weight in in_file.weights), values, strict=True))
    configuration = Configuration(transformer.config, TrainingConfig(), decoding or DecodingOptions())
    facts = {IMPORTED: {"from": "Keras' fit", "name": transformer.name}}
    with atomic_folder(out) as folder:
        run = RunDirectory.create(folder, configuration, data, facts)
        write_checkpoint(run.checkpoints.step_path(0), 0, {"weights.npz": weights}, {IMPORTED: "Keras' fit"})
    return out
