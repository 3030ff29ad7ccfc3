"""`nmt export`: writes a SavedModel, string to string."""

import argparse
from pathlib import Path
from typing import Any


def add_parser(verbs: Any) -> None:
    """Describes the command."""
    parser = verbs.add_parser(
        "export",
        help="write a SavedModel, string to string",
        description="Writes the next version of a SavedModel with tokeniser and search inside. It is published under "
        "its number only after a fresh process has loaded it and translated as the run does.",
        epilog="example: nmt export run --out export",
    )
    add = parser.add_argument
    add("model", type=Path, metavar="RUN", help="what `nmt train` wrote")
    add("--out", type=Path, required=True, metavar="EXPORT", help="the folder of versions")
    add("--checkpoint", metavar="WHICH", help="of a run: best, last, average or a step (default: average, if newest)")
    add("--beam-size", type=int, metavar="K", help="hypotheses kept while searching; 1 is greedy search")
    add("--length-penalty", type=float, metavar="A", help="exponent of the length penalty; 0 for none")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Exports, and says where the version is."""
    from app.quiet import import_tensorflow

    import_tensorflow()
    from app.models import RunModel
    from app.serving.export import export

    search = {"beam_size": arguments.beam_size, "length_penalty": arguments.length_penalty}
    model = RunModel(arguments.model, checkpoint=arguments.checkpoint, **search)
    print(export(model, arguments.out))
