"""`nmt translate`: lines in, lines out."""

import argparse
import json
import sys
from itertools import repeat, tee
from pathlib import Path
from typing import Any

from app.errors import UserError
from app.text_files import check_readable, stream_lines

ENGINES = ("tensorflow", "ctranslate2")


def add_parser(verbs: Any) -> None:
    """Describes the command."""
    parser = verbs.add_parser(
        "translate",
        help="translate lines of text",
        description="Translates each line of FILE or stdin; one line out for each line in, in order.",
        epilog='example: echo "Good morning." | nmt translate run',
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="a run or an export")
    add("file", nargs="?", type=Path, default=Path("-"), metavar="FILE", help="the text; stdin if left out or -")
    add("--checkpoint", metavar="WHICH", help="of a run: best, last, average or a step (default: average, if newest)")
    add("--beam-size", type=int, metavar="K", help="hypotheses kept while searching; 1 is greedy search")
    add("--length-penalty", type=float, metavar="A", help="exponent of the length penalty; 0 for none")
    add("--engine", choices=ENGINES, help="what computes (default: tensorflow, or what the export was written for)")
    add("--prefix", type=Path, metavar="F", help="a file with what the translation of each line must begin with")
    add("--n-best", type=int, default=1, metavar="N", help="print the N best as LINE ||| TEXT ||| SCORE")
    add("--scores", action="store_true", help="print TEXT, a tab and the score")
    add("--alignment", action="store_true", help="print TEXT ||| 0-0 2-1 …: source word 2 became word 1 of TEXT")
    add("--json", action="store_true", help="print one JSON object a line")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Translates window after window of lines; a line typed at a terminal is a window of its own."""
    if arguments.n_best < 1:
        raise UserError(f"--n-best is {arguments.n_best}; it must be at least 1")
    if arguments.scores and (arguments.n_best > 1 or arguments.json):
        raise UserError("--n-best and --json print scores by themselves; leave --scores out")
    if arguments.alignment and arguments.n_best > 1:
        raise UserError("--alignment is that of the best translation; leave --n-best out")
    if arguments.prefix and str(arguments.prefix) == str(arguments.file) == "-":
        raise UserError("--prefix and the text are both stdin; name a file for one of them")
    for path in (arguments.file, arguments.prefix):
        if path:
            check_readable(path)
    from app.quiet import import_tensorflow

    import_tensorflow()
    from app.models import load_model

    search = {"beam_size": arguments.beam_size, "length_penalty": arguments.length_penalty}
    model = load_model(arguments.model, checkpoint=arguments.checkpoint, engine=arguments.engine, **search)
    typed = arguments.file == Path("-") and sys.stdin.isatty()
    at_once = {"window_lines": 1} if typed else {}
    translator = model.translator(arguments.n_best, **at_once)
    prefixes = stream_lines(arguments.prefix) if arguments.prefix else None
    lines, sources = tee(stream_lines(arguments.file))
    translations = translator.translate_lines(lines, prefixes=prefixes)
    if arguments.alignment:
        translations, copies = tee(translations)
        pairs = ((source, copy.text) for source, copy in zip(sources, copies, strict=True))
        alignments = model.aligner(**at_once).align_lines(pairs)
    else:
        del sources  # or the lines would be kept for it
        alignments = repeat("")
    for number, (translation, alignment) in enumerate(zip(translations, alignments, strict=False)):
        print(formatted(number, translation, alignment, arguments), flush=typed)


def formatted(number: int, translation: Any, alignment: str, arguments: argparse.Namespace) -> str:
    """One input line's output: its translation, its n best (Moses' format, lines counted from 0), or JSON."""
    best = [(translation.text, translation.score), *translation.alternatives]
    if arguments.json:
        alternatives = [{"text": text, "score": round(score, 6)} for text, score in translation.alternatives]
        fields = {"translation": translation.text, "score": round(translation.score, 6)}
        fields |= {"alternatives": alternatives} if alternatives else {}
        return json.dumps(fields | ({"alignment": alignment} if arguments.alignment else {}), ensure_ascii=False)
    if arguments.n_best > 1:
        return "\n".join(f"{number} ||| {text} ||| {score:.6f}" for text, score in best)
    text = f"{translation.text} ||| {alignment}" if arguments.alignment else translation.text
    return f"{text}\t{translation.score:.6f}" if arguments.scores else str(text)
