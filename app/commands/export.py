"""`nmt export`: writes a SavedModel that turns strings into strings, or a CTranslate2 model."""

import argparse
from pathlib import Path
from typing import Literal

from keras_nmt.app.arguments import Verbs, add_checkpoint_options, add_penalty_option
from keras_nmt.app.errors import UserError

PRECISIONS = ("auto", "float32", "bfloat16")
FORMATS = ("saved-model", "ctranslate2")
CPU_ENGINES: tuple[Literal["int8", "float32", "none"], ...] = ("int8", "float32", "none")
QUANTIZATIONS: tuple[Literal["float32", "int8"], ...] = ("float32", "int8")


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt export` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "export",
        help="write a SavedModel, string to string",
        description="Writes the next version of a SavedModel that holds tokenizer and search, with a model card and "
        "requests that warm up TensorFlow Serving. It is published under its number only after a new process has "
        "loaded it and reproduced the golden translations stored in it. --format ctranslate2 writes a model for "
        "CTranslate2 with its vocabulary and a card instead.",
        epilog="example: nmt export run --out export",
    )
    add = parser.add_argument
    add("model", type=Path, metavar="RUN", help="what `nmt train` wrote")
    add("--out", type=Path, required=True, metavar="EXPORT", help="folder of versions")
    add(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="precision of a SavedModel (default: bfloat16 if this machine multiplies it faster, for example with AMX "
        "or AVX-512 BF16, else float32)",
    )
    add("--format", choices=FORMATS, default=FORMATS[0], help="format to write (default: %(default)s)")
    add("--quantization", choices=QUANTIZATIONS, help="number format of a CTranslate2 model (default: float32)")
    add(
        "--cpu-engine",
        choices=CPU_ENGINES,
        help="number format of the CTranslate2 model that is added to a SavedModel for CPUs (default: int8; none: do "
        "not add it)",
    )
    add_checkpoint_options(parser)
    add("--beam-size", type=int, metavar="K", help="number of hypotheses in the beam; 1: greedy search")
    add_penalty_option(parser)
    add(
        "--license",
        metavar="ID",
        help="license of the model for its card, as an identifier of the Hugging Face Hub, such as cc-by-4.0",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Exports the model, and prints the path of the exported version."""
    check_usage(arguments)
    from keras_nmt.app.runtime.tensorflow_start import import_tensorflow

    import_tensorflow()
    from keras_nmt.app.exporting.any_task import export_model
    from keras_nmt.app.exporting.export import export_ctranslate2
    from keras_nmt.app.models.loading import RunModel

    which = {"checkpoint": arguments.checkpoint, "ensemble": arguments.ensemble}
    search = {"beam_size": arguments.beam_size, "length_penalty": arguments.length_penalty}
    if arguments.format == "ctranslate2":
        model = RunModel(arguments.model, precision="float32", **which, **search)
        quantization: Literal["float32", "int8"] = arguments.quantization or "float32"
        print(export_ctranslate2(model, arguments.out, quantization, license=arguments.license))
        return
    precision, reason = chosen_precision(arguments.precision)
    model = RunModel(arguments.model, precision=precision, **which, **search)
    if model.task.route == "generate" and (unused := [name for name, value in search.items() if value is not None]):
        raise UserError(f"--{unused[0].replace('_', '-')} is for models that search; a language model draws its text")
    engine = arguments.cpu_engine or CPU_ENGINES[0]
    options = {"cpu_engine": engine, "license": arguments.license, "precision_reason": reason}
    print(export_model(model, arguments.out, **options))


def chosen_precision(asked: Literal["auto", "float32", "bfloat16"]) -> tuple[Literal["float32", "bfloat16"], str]:
    """Returns the precision of a SavedModel, and the reason for the choice as text for its model card."""
    from keras_nmt.app.training.precision import multiplies_bfloat16

    if asked != "auto":
        return asked, f"asked for with `--precision {asked}`"
    if multiplies_bfloat16():
        return "bfloat16", "chosen because the machine that exported it multiplies bfloat16 faster"
    return "float32", "chosen because the machine that exported it does not multiply bfloat16 faster"


def check_usage(arguments: argparse.Namespace) -> None:
    """Raises `UserError` if an option does not apply to the chosen format."""
    if arguments.quantization and arguments.format != "ctranslate2":
        raise UserError("--quantization is for --format ctranslate2; leave it out")
    if arguments.precision == "bfloat16" and arguments.format == "ctranslate2":
        raise UserError("--precision bfloat16 is for a SavedModel; CTranslate2 has --quantization")
    if arguments.cpu_engine and arguments.format == "ctranslate2":
        raise UserError("--cpu-engine is for a SavedModel; --format ctranslate2 has --quantization")
