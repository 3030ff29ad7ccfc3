"""`nmt score`: prints the scores that a model gives to existing translations."""

import argparse
import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from keras_nmt.app.arguments import Verbs, add_checkpoint_options, add_language_options, add_penalty_option
from keras_nmt.app.errors import UserError
from keras_nmt.app.runtime.text_files import check_readable, stream_lines

if TYPE_CHECKING:
    from keras_nmt.app.decoding.given_translations import Score


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt score` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "score",
        help="print a model's scores of existing translations",
        description="Prints a score for each source line and its translation: the model's log-probability of the "
        "translation divided by the length penalty, as `nmt translate --scores` prints it.",
        epilog="example: nmt score run --source test.en --target test.de",
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="a run or an export")
    add("--source", type=Path, required=True, metavar="F", help="source text; - is stdin")
    add("--target", type=Path, required=True, metavar="F", help="translation of each line; - is stdin")
    add_checkpoint_options(parser)
    add_language_options(parser)
    add_penalty_option(parser)
    add("--json", action="store_true", help="print one JSON object a line, with the log-probability of each token")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Scores the pairs of lines in blocks of pairs, one block after another, and prints the scores in order."""
    if str(arguments.source) == str(arguments.target) == "-":
        raise UserError("--source and --target are both stdin; name a file for one of them")
    for path in (arguments.source, arguments.target):
        check_readable(path)
    from keras_nmt.app.runtime.tensorflow_start import import_tensorflow

    import_tensorflow()
    from keras_nmt.app.models.loading import load_model

    which = {name: getattr(arguments, name) for name in ("checkpoint", "ensemble", "length_penalty")}
    model = load_model(arguments.model, **which)
    tag = model.languages.tagger(arguments.to, arguments.domain)
    pairs = ((tag(line), translation) for line, translation in line_pairs(arguments.source, arguments.target))
    for found in model.scorer().score_lines(pairs):
        print(scores_as_json(found) if arguments.json else f"{found.score:.6f}")


def line_pairs(source: Path, target: Path) -> Iterator[tuple[str, str]]:
    """Yields pairs of a source line and the target line with the same number.

    Raises:
        UserError: One file has fewer lines than the other. Raised after all complete pairs.
    """
    for number, (line, translation) in enumerate(zip_longest(stream_lines(source), stream_lines(target))):
        if line is None or translation is None:
            shorter, longer = (source, target) if line is None else (target, source)
            raise UserError(f"{shorter} has {number} lines, {longer} has more; a source line needs one target line")
        yield line, translation


def scores_as_json(found: "Score") -> str:
    """Formats the scores of one pair as JSON."""
    tokens = [{"piece": piece, "log_probability": round(value, 6)} for piece, value in found.tokens]
    fields = {"score": round(found.score, 6), "log_probability": round(found.log_probability, 6), "tokens": tokens}
    return json.dumps(fields, ensure_ascii=False)
