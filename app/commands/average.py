"""`nmt average`: averages a run's newest checkpoints."""

import argparse
from pathlib import Path
from typing import Any


def add_parser(verbs: Any) -> None:
    """Describes the command."""
    parser = verbs.add_parser(
        "average",
        help="average a run's newest checkpoints",
        description="Writes the mean of the newest checkpoints' weights into the run; the other commands use it from "
        "then on, until training goes further.",
        epilog="example: nmt average run --last 5",
    )
    parser.add_argument("model", type=Path, metavar="RUN", help="what `nmt train` wrote")
    parser.add_argument("--last", type=int, default=5, metavar="N", help="how many checkpoints (default: 5)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Averages, and says where the result is."""
    from app.errors import UserError

    if arguments.last < 1:
        raise UserError(f"--last is {arguments.last}; it must be at least 1")
    from app.quiet import import_tensorflow

    import_tensorflow()
    from app.run_directory import RunDirectory
    from app.training.checkpoints import average_newest

    print(average_newest(RunDirectory.open(arguments.model).checkpoints, arguments.last))
