"""`nmt average`: averages a run's newest or best checkpoints."""

import argparse
from pathlib import Path

from keras_nmt.app.arguments import Verbs

DEFAULT_LAST = 5  # as in section 6.1 of the paper


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt average` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "average",
        help="average a run's newest or best checkpoints",
        description="Writes the mean of the weights of several checkpoints into the run. The other commands use it "
        "until training writes a newer checkpoint.",
        epilog="example: nmt average run --last 5",
    )
    parser.add_argument("model", type=Path, metavar="RUN", help="what `nmt train` wrote")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--last", type=int, metavar="N", help=f"average the N newest (default: {DEFAULT_LAST})")
    which.add_argument("--best", type=int, metavar="N", help="average the N best on the dev set")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Averages the checkpoints, and prints the path of the average."""
    from keras_nmt.app.errors import UserError

    for option in ("last", "best"):
        count = getattr(arguments, option)
        if count is not None and count < 1:
            raise UserError(f"--{option} is {count}; it must be at least 1")
    from keras_nmt.app.runtime.tensorflow_start import import_tensorflow

    import_tensorflow()
    from keras_nmt.app.runs.averaging import write_average
    from keras_nmt.app.runs.choice import best, newest
    from keras_nmt.app.runs.directory import RunDirectory
    from keras_nmt.app.runtime.console import say

    opened = RunDirectory.open(arguments.model)
    chosen = best(opened, arguments.best) if arguments.best else newest(opened, arguments.last or DEFAULT_LAST)
    say(f"averaging {', '.join(path.name for path in chosen)}")
    print(write_average(opened.checkpoints, chosen))
