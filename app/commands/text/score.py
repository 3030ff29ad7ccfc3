"""`nmt score`: prints the scores that a model gives to existing translations, trees or texts."""

import argparse
import json
import math
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from keras_nmt.app.arguments import Verbs, add_checkpoint_options, add_language_options, add_penalty_option
from keras_nmt.app.errors import UserError
from keras_nmt.app.runtime.text_files import check_readable, stream_lines

if TYPE_CHECKING:
    from keras_nmt.app.decoding.given_translations import Score
    from keras_nmt.app.models.exports import Model


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt score` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "score",
        help="print a model's scores of existing translations",
        description="Prints a score for each source line and its translation, summary or tree: the model's "
        "log-probability of it divided by the length penalty, as `nmt translate --scores` prints it. A language model "
        "scores each line of the target: its log-probability.",
        epilog="example: nmt score run --source test.en --target test.de",
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="a run or an export")
    add("--source", type=Path, metavar="F", help="source text; - is stdin; not for a language model")
    add("--target", type=Path, required=True, metavar="F", help="translation of each line, or texts; - is stdin")
    add_checkpoint_options(parser)
    add_language_options(parser)
    add_penalty_option(parser)
    add("--json", action="store_true", help="print one JSON object a line, with the log-probability of each token")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Scores the lines in blocks, one block after another, and prints the scores in order."""
    if str(arguments.source) == str(arguments.target) == "-":
        raise UserError("--source and --target are both stdin; name a file for one of them")
    for path in filter(None, (arguments.source, arguments.target)):
        check_readable(path)
    from keras_nmt.app.runtime.tensorflow_start import import_tensorflow

    import_tensorflow()
    from keras_nmt.app.models.loading import load_model

    which = {name: getattr(arguments, name) for name in ("checkpoint", "ensemble", "length_penalty")}
    model = load_model(arguments.model, **which)
    check_sides(arguments, model)
    scorer = model.scorer()
    if model.task.measures_text:
        scores = scorer.score_texts(stream_lines(arguments.target))
    else:
        scores = scorer.score_lines(given_pairs(arguments, model))
    for number, found in enumerate(scores, start=1):
        if math.isinf(found.log_probability):
            raise UserError(f"{arguments.target} line {number}: has a label that the model does not know")
        print(scores_as_json(found) if arguments.json else f"{found.score:.6f}")


def check_sides(arguments: argparse.Namespace, model: "Model") -> None:
    """Raises `UserError` if there is no source for a model that needs one, or an option that a model does not read."""
    if not model.task.measures_text:
        if arguments.source is None:
            raise UserError(f"a {model.task.output} is scored given its source; add --source FILE")
        return
    for option in ("source", "length_penalty", "to", "domain"):
        if getattr(arguments, option) is not None:
            raise UserError(f"a language model scores the --target alone; leave --{option.replace('_', '-')} out")


def given_pairs(arguments: argparse.Namespace, model: "Model") -> Iterator[tuple[str, str]]:
    """Yields the source lines with their tags, and the outputs in the form in which the model reads them."""
    tag = model.languages.tagger(arguments.to, arguments.domain)
    for number, (line, output) in enumerate(line_pairs(arguments.source, arguments.target), start=1):
        try:
            yield tag(line), model.task.given(line, output)
        except UserError as error:
            raise UserError(f"{arguments.target} line {number}: {error}") from error


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
    """Formats the scores of one line as JSON."""
    tokens = [{"piece": piece, "log_probability": round(value, 6)} for piece, value in found.tokens]
    fields = {"score": round(found.score, 6), "log_probability": round(found.log_probability, 6), "tokens": tokens}
    return json.dumps(fields, ensure_ascii=False)
