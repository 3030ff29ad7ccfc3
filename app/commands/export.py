"""`nmt export`: writes a SavedModel, string to string, or a CTranslate2 model."""

import argparse
from pathlib import Path
from typing import Any, Literal

from app.errors import UserError

PRECISIONS = ("auto", "float32", "bfloat16")
FORMATS = ("saved-model", "ctranslate2")
QUANTIZATIONS: tuple[Literal["float32", "int8"], ...] = ("float32", "int8")


def add_parser(verbs: Any) -> None:
    """Describes the command."""
    parser = verbs.add_parser(
        "export",
        help="write a SavedModel, string to string",
        description="Writes the next version of a SavedModel with tokeniser and search inside. It is published under "
        "its number only after a fresh process has loaded it and translated as the run does. --format ctranslate2 "
        "writes a model for CTranslate2, and its vocabulary, instead.",
        epilog="example: nmt export run --out export",
    )
    add = parser.add_argument
    add("model", type=Path, metavar="RUN", help="what `nmt train` wrote")
    add("--out", type=Path, required=True, metavar="EXPORT", help="the folder of versions")
    add(
        "--precision", choices=PRECISIONS, default="auto", help="of a SavedModel (default: bfloat16 where it is faster)"
    )
    add("--format", choices=FORMATS, default=FORMATS[0], help="of what to write (default: %(default)s)")
    add("--quantization", choices=QUANTIZATIONS, help="of CTranslate2's matrices (default: float32)")
    add("--checkpoint", metavar="WHICH", help="of a run: best, last, average or a step (default: average, if newest)")
    add("--beam-size", type=int, metavar="K", help="hypotheses kept while searching; 1 is greedy search")
    add("--length-penalty", type=float, metavar="A", help="exponent of the length penalty; 0 for none")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Exports, and says where the version is."""
    if arguments.quantization and arguments.format != "ctranslate2":
        raise UserError("--quantization is for --format ctranslate2; leave it out")
    if arguments.precision == "bfloat16" and arguments.format == "ctranslate2":
        raise UserError("--precision bfloat16 is for a SavedModel; CTranslate2 has --quantization")
    from app.quiet import import_tensorflow

    import_tensorflow()
    from app.models import RunModel
    from app.serving.export import export, export_ctranslate2
    from app.training.precision import multiplies_bfloat16

    search = {"beam_size": arguments.beam_size, "length_penalty": arguments.length_penalty}
    precision = arguments.precision
    if precision == "auto":
        precision = "bfloat16" if arguments.format == "saved-model" and multiplies_bfloat16() else "float32"
    model = RunModel(arguments.model, checkpoint=arguments.checkpoint, precision=precision, **search)
    if arguments.format == "ctranslate2":
        print(export_ctranslate2(model, arguments.out, arguments.quantization or "float32"))
    else:
        print(export(model, arguments.out))
