"""`nmt summarize`: prints a summary of each line of a text."""

from keras_nmt.app.arguments import Verbs, add_checkpoint_options
from keras_nmt.app.commands.text.options import (
    add_input_arguments,
    add_length_options,
    add_output_options,
    add_repetition_options,
    add_sampling_options,
    add_search_options,
)
from keras_nmt.app.commands.text.translate import run

# The values of those options of `nmt translate` that summaries do not have.
NOT_FOR_SUMMARIES = {
    **dict.fromkeys(("to", "domain", "engine", "glossary", "prefix", "language_model", "language_model_weight")),
    **dict.fromkeys(("alternatives", "alignment"), False),
}


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt summarize` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "summarize",
        help="summarize lines of text",
        description="Summarizes each line of FILE or stdin, and prints one line for each line, in order. A line that "
        "is longer than the model reads is cut at the end of a sentence.",
        epilog="example: nmt summarize run articles.txt",
    )
    add_input_arguments(parser, "text to summarize, one a line")
    add_checkpoint_options(parser)
    search = add_search_options(parser)
    add_repetition_options(search)
    add_length_options(search, "text")
    add_sampling_options(parser)
    add_output_options(parser)
    parser.set_defaults(run=run, **NOT_FOR_SUMMARIES)
