"""`nmt translate`: lines in, lines out."""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from itertools import chain, islice, repeat, tee
from pathlib import Path
from typing import Any

from app.errors import UserError
from app.runtime.processors import batches_at_once
from app.runtime.text_files import check_readable, stream_lines

FEW_LINES = 30  # for which a graph is not worth improving: that takes as long as to translate some hundred
ENGINES = ("tensorflow", "ctranslate2")
SEARCH = ("beam_size", "length_penalty", "no_repeat_ngram_size", "repetition_penalty")
SAMPLING = ("temperature", "top_k", "top_p")
RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "temperature": (lambda value: 0 < value < math.inf, "above 0"),
    "top_k": (lambda value: value >= 1, "at least 1"),
    "top_p": (lambda value: 0 < value <= 1, "above 0 and at most 1"),
    "seed": (lambda value: 0 <= value < 2**31, f"at least 0 and less than {2**31}"),
}


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
    add("--to", metavar="LANG", help="the language to translate into, where the model knows several")
    add("--domain", metavar="NAME", help="what the text is about, of the domains that the model was trained on")
    add("--checkpoint", metavar="WHICH", help="of a run: best, last, average or a step (default: average, if newest)")
    add("--ensemble", action="append", default=[], metavar="RUN[:WHICH]", help="a run that translates together with it")
    add("--engine", choices=ENGINES, help="what computes (default: tensorflow for a run, the faster for an export)")
    add = parser.add_argument_group("search").add_argument
    add("--beam-size", type=int, metavar="K", help="hypotheses kept while searching; 1 is greedy search")
    add("--length-penalty", type=float, metavar="A", help="exponent of the length penalty; 0 for none")
    add("--no-repeat-ngram-size", type=int, metavar="N", help="never say the same N tokens in a row twice")
    add("--repetition-penalty", type=float, metavar="P", help="above 1, say less often what was said before")
    add("--glossary", type=Path, metavar="TSV", help="SOURCE TERM, tab, TARGET TERM: what a term must become")
    add("--prefix", type=Path, metavar="F", help="a file with what the translation of each line must begin with")
    add("--alternatives", action="store_true", help="the --n-best go on differently right behind their --prefix")
    add = parser.add_argument_group("sampling", "Translations drawn at random, as for back-translation.").add_argument
    add("--sample", action="store_true", help="draw them, --n-best of each line, in place of a search")
    add("--temperature", type=float, metavar="T", help="below 1, likely tokens become likelier (default: 1)")
    add("--top-k", type=int, metavar="K", help="draw from the K likeliest tokens (default: all)")
    add("--top-p", type=float, metavar="P", help="draw from the fewest tokens with this probability (default: 1)")
    add("--seed", type=int, metavar="S", help="the same seed draws the same again (default: 1)")
    add = parser.add_argument_group("output").add_argument
    add("--n-best", type=int, default=1, metavar="N", help="print the N best as LINE ||| TEXT ||| SCORE")
    add("--scores", action="store_true", help="print TEXT, a tab and the score")
    add("--alignment", action="store_true", help="print TEXT ||| 0-0 2-1 …: source word 2 became word 1 of TEXT")
    add("--json", action="store_true", help="print one JSON object a line, with confidence and warnings")
    add("--token-scores", action="store_true", help="with --json, each token and its log-probability too")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Translates window after window of lines; a line typed at a terminal is a window of its own."""
    check_usage(arguments)
    for path in (arguments.file, arguments.prefix, arguments.glossary):
        if path:
            check_readable(path)
    from app.runtime.tensorflow_start import answering_soon, import_tensorflow

    typed = arguments.file == Path("-") and sys.stdin.isatty()
    at_once = 1 if typed else batches_at_once()
    import_tensorflow(batches_at_once=at_once)
    from app.models.loading import load_model

    search = {name: getattr(arguments, name) for name in SEARCH}
    which = {name: getattr(arguments, name) for name in ("checkpoint", "engine", "ensemble")}
    model = load_model(arguments.model, **which, **search)
    tag = model.languages.tagger(arguments.to, arguments.domain)
    window = {"window_lines": 1} if typed else {}
    translator = model.translator(request(arguments), **window, batches_at_once=at_once)
    prefixes = stream_lines(arguments.prefix) if arguments.prefix else None
    text = stream_lines(arguments.file)
    first = [] if typed else list(islice(text, FEW_LINES + 1))
    lines, sources = tee(map(tag, chain(first, text)))
    translations = translator.translate_lines(lines, prefixes=prefixes)
    alignments: Iterable[str] = repeat("")
    if arguments.alignment:
        translations, copies = tee(translations)
        pairs = ((source, copy.text) for source, copy in zip(sources, copies, strict=True))
        tags = len(model.languages.tags_of(arguments.to, arguments.domain))
        alignments = (without_tags(found, tags) for found in model.aligner(**window).align_lines(pairs))
    else:
        del sources  # or the lines would be kept for it
    with answering_soon() if len(first) <= FEW_LINES else nullcontext():
        for number, (translation, alignment) in enumerate(zip(translations, alignments, strict=False)):
            print(formatted(number, translation, alignment, arguments), flush=typed)


def check_usage(arguments: argparse.Namespace) -> None:
    """Refuses what cannot be, or not together."""
    if arguments.n_best < 1:
        raise UserError(f"--n-best is {arguments.n_best}; it must be at least 1")
    if arguments.scores and (arguments.n_best > 1 or arguments.json):
        raise UserError("--n-best and --json print scores by themselves; leave --scores out")
    if arguments.alignment and arguments.n_best > 1:
        raise UserError("--alignment is that of the best translation; leave --n-best out")
    if arguments.token_scores and not arguments.json:
        raise UserError("--token-scores are printed with --json; add it")
    if arguments.prefix and str(arguments.prefix) == str(arguments.file) == "-":
        raise UserError("--prefix and the text are both stdin; name a file for one of them")
    if arguments.alternatives and not arguments.prefix:
        raise UserError("--alternatives go on behind a --prefix; give one")
    others = (arguments.prefix, arguments.sample, arguments.n_best > 1, arguments.token_scores)
    if arguments.glossary and any(others):
        raise UserError(
            "--glossary is for the best translation; leave --prefix, --sample, --n-best, --token-scores out"
        )
    drawn = {f"--{name.replace('_', '-')}": getattr(arguments, name) for name in (*SAMPLING, "seed")}
    if not arguments.sample and (given := [option for option, value in drawn.items() if value is not None]):
        raise UserError(f"{given[0]} is for --sample; add it, or leave {given[0]} out")
    if arguments.sample and arguments.prefix:
        raise UserError("--sample knows no --prefix; leave one of them out")
    for name, (is_right, allowed) in RANGES.items():
        value = getattr(arguments, name)
        if value is not None and not is_right(value):
            raise UserError(f"--{name.replace('_', '-')} is {value}; it must be {allowed}")


def request(arguments: argparse.Namespace) -> Any:
    """What is asked for each line."""
    from app.decoding.glossary import read_glossary
    from app.decoding.search.sampling import Sampling
    from app.decoding.translator import Request

    given = {name: getattr(arguments, name) for name in SAMPLING}
    sampling = Sampling(**{name: value for name, value in given.items() if value is not None})
    return Request(
        arguments.n_best,
        with_tokens=arguments.token_scores,
        at_prefix=arguments.alternatives,
        sampling=sampling if arguments.sample else None,
        seed=1 if arguments.seed is None else arguments.seed,
        glossary=read_glossary(arguments.glossary) if arguments.glossary else (),
    )


def formatted(number: int, translation: Any, alignment: str, arguments: argparse.Namespace) -> str:
    """One input line's output: its translation, its n best (Moses' format, lines counted from 0), or JSON."""
    if arguments.json:
        fields = {"translation": translation.text, **details(translation)}
        alternatives = [{"text": other.text, **details(other)} for other in translation.alternatives]
        fields |= {"alternatives": alternatives} if alternatives else {}
        return json.dumps(fields | ({"alignment": alignment} if arguments.alignment else {}), ensure_ascii=False)
    if arguments.n_best > 1:
        best = (translation, *translation.alternatives)
        return "\n".join(f"{number} ||| {one.text} ||| {one.score:.6f}" for one in best)
    text = f"{translation.text} ||| {alignment}" if arguments.alignment else translation.text
    return f"{text}\t{translation.score:.6f}" if arguments.scores else str(text)


def without_tags(alignment: str, tags: int) -> str:
    """An alignment with the words of the source counted from behind its tags: "2-0 3-1" and 2 give "0-0 1-1"."""
    pairs = (map(int, pair.split("-")) for pair in alignment.split())
    return " ".join(f"{source - tags}-{target}" for source, target in pairs if source >= tags)


def details(translation: Any) -> dict[str, Any]:
    """What JSON says of a translation beside its text."""
    tokens = [[piece, round(log_probability, 6)] for piece, log_probability in translation.tokens]
    return {
        "score": round(translation.score, 6),
        "confidence": round(translation.confidence, 4),
        **({"warnings": list(translation.warnings)} if translation.warnings else {}),
        **({"tokens": tokens} if tokens else {}),
    }
