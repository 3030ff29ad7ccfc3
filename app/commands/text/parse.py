"""`nmt parse`: prints the constituency tree of each line of a text."""

import argparse
import shutil

from keras_nmt.app.arguments import Verbs, add_checkpoint_options
from keras_nmt.app.commands.text.options import (
    add_input_arguments,
    add_output_options,
    add_search_options,
)
from keras_nmt.app.commands.text.summarize import NOT_FOR_SUMMARIES
from keras_nmt.app.commands.text.translate import SEARCH, run_lines
from keras_nmt.app.errors import UserError


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt parse` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "parse",
        help="print the constituency trees of sentences",
        description="Parses each line of FILE or stdin, which is one sentence, and prints one tree a line, in order.",
        epilog='example: echo "The cat sat on the mat." | nmt parse run --pretty',
    )
    add_input_arguments(parser, "sentences")
    parser.add_argument("--tokenized", action="store_true", help="the words of the sentences are separated by spaces")
    add_checkpoint_options(parser)
    add_search_options(parser)
    add_output_options(parser).add_argument("--pretty", action="store_true", help="draw the trees")
    of_other_verbs = ("temperature", "top_k", "top_p", "seed", *SEARCH[2:])
    parser.set_defaults(run=run, **NOT_FOR_SUMMARIES, **dict.fromkeys(of_other_verbs), sample=False)


def run(arguments: argparse.Namespace) -> None:
    """Parses the lines and prints the trees."""
    if arguments.pretty and (arguments.json or arguments.scores or arguments.n_best > 1):
        raise UserError("--pretty draws the best tree; leave --json, --scores and --n-best out")
    from keras_nmt.pipelines.trees.drawing import drawn
    from keras_nmt.pipelines.trees.tree import parse_tree
    from keras_nmt.pipelines.trees.words import ptb_words

    def words(line: str) -> str:
        return line if arguments.tokenized else " ".join(ptb_words(line))

    def shown(tree: str) -> str:
        return drawn(parse_tree(tree), shutil.get_terminal_size().columns) if arguments.pretty and tree else tree

    run_lines(arguments, before=words, after=shown)
