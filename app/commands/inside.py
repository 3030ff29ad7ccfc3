"""`nmt inside`: writes what a model computes for a sentence as a page in one file."""

import argparse
import os
from pathlib import Path

from keras_nmt.app.arguments import Verbs, add_language_options
from keras_nmt.app.errors import UserError


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt inside` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "inside",
        help="write what a model computes for a sentence as a page",
        description="Writes the view Inside the Transformer of `nmt serve`, with the model's numbers for one sentence, "
        "as one HTML file. The file needs no server and loads nothing, so it can be sent to others.",
        epilog='example: nmt inside demo/export "Two dogs are playing." --out page.html',
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="a run or an export")
    add("sentence", metavar="SENTENCE", help="the sentence; the prompt of a language model; a long one is cut")
    add("--out", type=Path, required=True, metavar="F", help="HTML file to write")
    add(
        "--layer",
        type=int,
        default=1,
        metavar="N",
        help="layer to show first, from 1; the only one with all details if the file would be large (default: 1)",
    )
    add("--head", type=int, default=1, metavar="N", help="attention head to show first, from 1 (default: 1)")
    add(
        "--checkpoint",
        metavar="WHICH",
        help="checkpoint of a run: best, last, average or a step (default: the average if it is the newest, else last)",
    )
    add_language_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Loads the model, computes the numbers and writes the file. Prints the size of the file."""
    check_usage(arguments)
    from keras_nmt.app.runtime.tensorflow_start import import_tensorflow, without_graph_optimization

    import_tensorflow()
    from keras_nmt.app.runtime.console import say
    from keras_nmt.app.runtime.text_files import replace_file
    from keras_nmt.app.server.saved_page.numbers import check_numbers, measured_times, saved_numbers
    from keras_nmt.app.server.saved_page.page import direction_of, loaded_version, page_of

    layer, head = arguments.layer - 1, arguments.head - 1
    with without_graph_optimization():
        version = loaded_version(arguments.model, arguments.checkpoint)
        direction = direction_of(version, arguments.to, arguments.domain)
        check_numbers(layer, head, version.architecture)
        numbers = saved_numbers(direction, arguments.sentence, layer)
    timing = measured_times(version.architecture)
    html = page_of(direction, numbers, timing, layer=layer, head=head).encode("utf-8", "replace")
    replace_file(arguments.out, html)
    layers = "all layers" if numbers.has_all_layers else f"layer {arguments.layer}; --layer chooses another one"
    say(f"{arguments.out}: {len(html) / 1e6:.1f} MB, with the details of {layers}")


def check_usage(arguments: argparse.Namespace) -> None:
    """Raises `UserError` if the sentence is empty or the file cannot be written, before the model is loaded."""
    if not arguments.sentence.strip():
        raise UserError("the sentence is empty; give the text that the model is to read")
    out: Path = arguments.out
    if out.is_dir():
        raise UserError(f"{out} is a folder; name a file, such as {out / 'page.html'}")
    if not out.parent.is_dir():
        raise UserError(f"cannot write {out}: there is no folder {out.parent}")
    if not os.access(out.parent, os.W_OK):
        raise UserError(f"cannot write {out}: no permission to write in {out.parent}")
