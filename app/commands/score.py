"""`nmt score`: how probable a model finds translations that are there already."""

import argparse
import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from app.errors import UserError
from app.runtime.text_files import check_readable, stream_lines


def add_parser(verbs: Any) -> None:
    """Describes the command."""
    parser = verbs.add_parser(
        "score",
        help="the model's score of given translations",
        description="Prints for each line of a source and its translation the score that the model gives it: its "
        "log-probability over the length penalty, as `nmt translate --scores` prints it.",
        epilog="example: nmt score run --source test.en --target test.de",
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="a run or an export")
    add("--source", type=Path, required=True, metavar="F", help="the text; - is stdin")
    add("--target", type=Path, required=True, metavar="F", help="its translation, line by line; - is stdin")
    add("--checkpoint", metavar="WHICH", help="of a run: best, last, average or a step (default: average, if newest)")
    add("--ensemble", action="append", default=[], metavar="RUN[:WHICH]", help="a run that translates together with it")
    add("--to", metavar="LANG", help="the language of the translations, where the model knows several")
    add("--domain", metavar="NAME", help="what the text is about, of the domains that the model was trained on")
    add("--length-penalty", type=float, metavar="A", help="exponent of the length penalty; 0 for none")
    add("--json", action="store_true", help="one JSON object a line, with the log-probability of each token")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Scores window after window of lines."""
    if str(arguments.source) == str(arguments.target) == "-":
        raise UserError("--source and --target are both stdin; name a file for one of them")
    for path in (arguments.source, arguments.target):
        check_readable(path)
    from app.runtime.tensorflow_start import import_tensorflow

    import_tensorflow()
    from app.models.loading import load_model

    which = {name: getattr(arguments, name) for name in ("checkpoint", "ensemble", "length_penalty")}
    model = load_model(arguments.model, **which)
    tag = model.languages.tagger(arguments.to, arguments.domain)
    pairs = ((tag(line), translation) for line, translation in line_pairs(arguments.source, arguments.target))
    for found in model.scorer().score_lines(pairs):
        print(formatted(found) if arguments.json else f"{found.score:.6f}")


def line_pairs(source: Path, target: Path) -> Iterator[tuple[str, str]]:
    """The lines of both files side by side.

    Raises:
        UserError: One has fewer lines; the pairs before have been given.
    """
    for number, (line, translation) in enumerate(zip_longest(stream_lines(source), stream_lines(target))):
        if line is None or translation is None:
            shorter, longer = (source, target) if line is None else (target, source)
            raise UserError(f"{shorter} has {number} lines, {longer} has more; a source line needs one target line")
        yield line, translation


def formatted(found: Any) -> str:
    """One pair's scores as JSON."""
    tokens = [{"piece": piece, "log_probability": round(value, 6)} for piece, value in found.tokens]
    fields = {"score": round(found.score, 6), "log_probability": round(found.log_probability, 6), "tokens": tokens}
    return json.dumps(fields, ensure_ascii=False)
