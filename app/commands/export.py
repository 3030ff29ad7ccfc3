"""`nmt export`: writes a SavedModel, string to string, or a CTranslate2 model."""

import argparse
from pathlib import Path
from typing import Any, Literal

from app.errors import UserError

PRECISIONS = ("auto", "float32", "bfloat16")
FORMATS = ("saved-model", "ctranslate2")
CPU_ENGINES: tuple[Literal["int8", "float32", "none"], ...] = ("int8", "float32", "none")
QUANTIZATIONS: tuple[Literal["float32", "int8"], ...] = ("float32", "int8")


def add_parser(verbs: Any) -> None:
    """Describes the command."""
    parser = verbs.add_parser(
        "export",
        help="write a SavedModel, string to string",
        description="Writes the next version of a SavedModel with tokeniser and search inside, a model card, and "
        "requests that warm TensorFlow Serving up. It is published under its number only after a fresh process has "
        "loaded it and reproduced the golden translations stored in it. --format ctranslate2 writes a model for "
        "CTranslate2, its vocabulary and a card instead.",
        epilog="example: nmt export run --out export",
    )
    add = parser.add_argument
    add("model", type=Path, metavar="RUN", help="what `nmt train` wrote")
    add("--out", type=Path, required=True, metavar="EXPORT", help="the folder of versions")
    add(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="of a SavedModel (default: bfloat16 where this machine multiplies it faster, as with AMX or AVX-512 BF16, "
        "else float32)",
    )
    add("--format", choices=FORMATS, default=FORMATS[0], help="of what to write (default: %(default)s)")
    add("--quantization", choices=QUANTIZATIONS, help="of CTranslate2's matrices (default: float32)")
    add(
        "--cpu-engine",
        choices=CPU_ENGINES,
        help="how CTranslate2 computes on CPUs, whose model goes beside the SavedModel (default: int8; none: leave it "
        "out)",
    )
    add("--checkpoint", metavar="WHICH", help="of a run: best, last, average or a step (default: average, if newest)")
    add("--ensemble", action="append", default=[], metavar="RUN[:WHICH]", help="a run that translates together with it")
    add("--beam-size", type=int, metavar="K", help="hypotheses kept while searching; 1 is greedy search")
    add("--length-penalty", type=float, metavar="A", help="exponent of the length penalty; 0 for none")
    add(
        "--license",
        metavar="ID",
        help="of the model, for its card: an identifier of the Hugging Face Hub, as cc-by-4.0",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Exports, and says where the version is."""
    if arguments.quantization and arguments.format != "ctranslate2":
        raise UserError("--quantization is for --format ctranslate2; leave it out")
    if arguments.precision == "bfloat16" and arguments.format == "ctranslate2":
        raise UserError("--precision bfloat16 is for a SavedModel; CTranslate2 has --quantization")
    if arguments.cpu_engine and arguments.format == "ctranslate2":
        raise UserError("--cpu-engine is for a SavedModel; --format ctranslate2 has --quantization")
    from app.runtime.tensorflow_start import import_tensorflow

    import_tensorflow()
    from app.exporting.export import export, export_ctranslate2
    from app.models.loading import RunModel
    from app.training.precision import multiplies_bfloat16

    search = {"beam_size": arguments.beam_size, "length_penalty": arguments.length_penalty}
    precision, reason = arguments.precision, f"asked for with `--precision {arguments.precision}`"
    quantization: Literal["float32", "int8"] = arguments.quantization or "float32"
    if arguments.format == "ctranslate2":
        precision = "float32"
    elif precision == "auto":
        faster = multiplies_bfloat16()
        precision = "bfloat16" if faster else "float32"
        reason = "chosen because the machine that exported it "
        reason += "multiplies bfloat16 faster" if faster else "does not multiply bfloat16 faster"
    which = {"checkpoint": arguments.checkpoint, "ensemble": arguments.ensemble}
    model = RunModel(arguments.model, precision=precision, **which, **search)
    if arguments.format == "ctranslate2":
        print(export_ctranslate2(model, arguments.out, quantization, license=arguments.license))
    else:
        engine = arguments.cpu_engine or CPU_ENGINES[0]
        made = export(model, arguments.out, cpu_engine=engine, license=arguments.license, precision_reason=reason)
        print(made)
