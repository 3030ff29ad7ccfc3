"""`nmt import-marian`: converts the files of a Hugging Face `MarianMTModel` into a run."""

from dataclasses import replace
from pathlib import Path

from keras_nmt.app.config import Configuration, TrainingConfig
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.errors import UserError
from keras_nmt.app.importing.marian_files import MarianFiles
from keras_nmt.app.importing.marian_weights import model_config, our_weights
from keras_nmt.app.runs.checkpoints import IMPORTED, write_checkpoint
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.pipelines.atomic_files import atomic_folder
from keras_nmt.pipelines.shards.manifest import sha256_of
from keras_nmt.pipelines.sources.corpora import LanguagePair

LENGTH_PENALTY = 1.0  # Marian divides scores by the length; the nearest penalty here is ((5 + length) / 6) ^ 1


def import_marian(directory: Path, out: Path, pair: LanguagePair | None = None) -> RunDirectory:
    """Creates a run with a single checkpoint, at step 0, that holds the weights of a Marian model.

    Args:
        directory: The folder of the model's files.
        out: The folder of the run, new or empty. The run is written under another name and then renamed.
        pair: The model's languages; None to read them from tokenizer_config.json.

    Returns:
        The run.

    Raises:
        UserError: `out` exists and is not an empty folder, or the model's files cannot be used. The message says why.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out} exists; choose another --out")
    files = MarianFiles(directory)
    pair = pair or files.pair()
    configuration = Configuration(model_config(files), TrainingConfig(precision="float32"), _decoding(files))
    vocabulary, weights = files.vocabulary, our_weights(files)
    facts = {IMPORTED: {"from": "Marian", "name": files.name, "weights": sha256_of(files.weights_path)}}
    with atomic_folder(out) as folder:
        run = RunDirectory.create_with(folder, configuration, pair, vocabulary, facts)
        write_checkpoint(run.checkpoints.step_path(0), 0, {"weights.npz": weights}, {IMPORTED: files.name})
    return replace(run, path=out)


def _decoding(files: MarianFiles) -> DecodingOptions:
    """Returns the decoding options of the model: its beam size, its length penalty and its maximum source length."""
    try:
        return DecodingOptions(
            beam_size=int(files.settings.get("num_beams", DecodingOptions.beam_size)),
            length_penalty=float(files.settings.get("length_penalty", LENGTH_PENALTY)),
            # Two positions are reserved for a language code and EOS.
            max_source_tokens=min(DecodingOptions.max_source_tokens, max(1, files.shape.positions - 2)),
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"{files.path}: {error}") from error
