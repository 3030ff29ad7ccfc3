"""`nmt translate`: translates each line of a text into one line."""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from itertools import chain, islice, repeat, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_nmt.app.arguments import Verbs, add_checkpoint_options, add_language_options
from keras_nmt.app.commands.text.options import (
    add_alignment_option,
    add_constraint_options,
    add_input_arguments,
    add_language_model_options,
    add_length_options,
    add_output_options,
    add_repetition_options,
    add_sampling_options,
    add_search_options,
)
from keras_nmt.app.errors import UserError
from keras_nmt.app.runtime.console import say
from keras_nmt.app.runtime.processors import batches_at_once
from keras_nmt.app.runtime.text_files import check_readable, stream_lines

if TYPE_CHECKING:
    from keras_nmt.app.decoding.translator import Translation, TranslationRequest
    from keras_nmt.app.models.exports import Model
    from keras_nmt.app.tasks.task import Task

FEW_LINES = 30  # for at most this many lines, graph optimization takes longer than the time it saves
ENGINES = ("tensorflow", "ctranslate2")
SEARCH = ("beam_size", "length_penalty", "no_repeat_ngram_size", "repetition_penalty", "min_tokens", "max_tokens")
SAMPLING = ("temperature", "top_k", "top_p")
RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "temperature": (lambda value: 0 < value < math.inf, "above 0"),
    "top_k": (lambda value: value >= 1, "at least 1"),
    "top_p": (lambda value: 0 < value <= 1, "above 0 and at most 1"),
    "seed": (lambda value: 0 <= value < 2**31, f"at least 0 and less than {2**31}"),
}


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt translate` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "translate",
        help="translate lines of text",
        description="Translates each line of FILE or stdin, and prints one line for each line, in order.",
        epilog='example: echo "Good morning." | nmt translate run',
    )
    add_input_arguments(parser, "text to translate")
    add_language_options(parser)
    add_checkpoint_options(parser)
    parser.add_argument(
        "--engine", choices=ENGINES, help="what computes (default: tensorflow for a run, the faster for an export)"
    )
    search = add_search_options(parser)
    add_repetition_options(search)
    add_length_options(search, "sentence")
    add_language_model_options(search)
    add_constraint_options(search)
    add_sampling_options(parser)
    add_alignment_option(add_output_options(parser))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs the command; see `run_lines`."""
    run_lines(arguments)


def run_lines(
    arguments: argparse.Namespace,
    *,
    before: Callable[[str], str] = str,
    after: Callable[[str], str] = str,
) -> None:
    """Translates the lines and prints the translations in order; also runs the other verbs that print a line for each.

    The lines are read, translated and printed in blocks ("windows"), one block after another. If the lines are typed at
    a terminal, a block is one line.

    Args:
        arguments: The command line.
        before: A function that is applied to each line before the model reads it.
        after: A function that is applied to each line before it is printed.
    """
    check_usage(arguments)
    for path in (arguments.file, arguments.prefix, arguments.glossary):
        if path:
            check_readable(path)
    from keras_nmt.app.runtime.tensorflow_start import import_tensorflow, without_graph_optimization

    typed = arguments.file == Path("-") and sys.stdin.isatty()
    at_once = 1 if typed else batches_at_once()
    import_tensorflow(batches_at_once=at_once)
    model = chosen_model(arguments)
    tag = model.languages.tagger(arguments.to, arguments.domain)
    window = {"window_lines": 1} if typed else {}
    translator = model.translator(request(arguments), **window, batches_at_once=at_once)
    prefixes = stream_lines(arguments.prefix) if arguments.prefix else None
    text = map(before, stream_lines(arguments.file))
    first = [] if typed else list(islice(text, FEW_LINES + 1))
    lines, sources = tee(map(tag, chain(first, text)))
    translations = translator.translate_lines(lines, prefixes=prefixes)
    alignments: Iterable[str] = repeat("")
    if arguments.alignment:
        translations, copies = tee(translations)
        pairs = ((source, copy.text) for source, copy in zip(sources, copies, strict=True))
        tags = len(model.languages.tags_of(arguments.to, arguments.domain))
        alignments = (alignment_without_tags(found, tags) for found in model.aligner(**window).align_lines(pairs))
    else:
        del sources  # otherwise `tee` would keep all lines in memory for this iterator
    with without_graph_optimization() if len(first) <= FEW_LINES else nullcontext():
        cut = print_outputs(zip(translations, alignments, strict=False), arguments, after, flush=typed)
    if cut:
        say(f"{cut} line(s) had more than {model.options.max_source_tokens} tokens; the rest was not read")


def chosen_model(arguments: argparse.Namespace) -> "Model":
    """Loads the model that the options choose; raises `UserError` if its task has another verb than this command."""
    from keras_nmt.app.models.loading import load_model

    search = {name: getattr(arguments, name) for name in SEARCH}
    which = {name: getattr(arguments, name) for name in ("checkpoint", "engine", "ensemble", "language_model")}
    if arguments.language_model_weight is not None:
        which["language_model_weight"] = arguments.language_model_weight
    model = load_model(arguments.model, **which, **search)
    check_verb(arguments, model.task)
    return model


def print_outputs(
    outputs: "Iterable[tuple[Translation, str]]",
    arguments: argparse.Namespace,
    after: Callable[[str], str],
    *,
    flush: bool,
) -> int:
    """Prints a line for each output and its alignment; returns the number of outputs for a text that was cut."""
    cut = 0
    for number, (output, alignment) in enumerate(outputs):
        print(after(output_line(number, output, alignment, arguments)), flush=flush)
        cut += "cut" in output.warnings
    return cut


def check_usage(arguments: argparse.Namespace) -> None:
    """Raises `UserError` if a value is out of range or options exclude each other."""
    if arguments.n_best < 1:
        raise UserError(f"--n-best is {arguments.n_best}; it must be at least 1")
    if arguments.scores and (arguments.n_best > 1 or arguments.json):
        raise UserError("--n-best and --json print scores anyway; leave --scores out")
    if arguments.alignment and arguments.n_best > 1:
        raise UserError("--alignment is for the best translation; leave --n-best out")
    if arguments.token_scores and not arguments.json:
        raise UserError("--token-scores needs --json; add it")
    if arguments.prefix and str(arguments.prefix) == str(arguments.file) == "-":
        raise UserError("--prefix and the text are both stdin; name a file for one of them")
    if arguments.alternatives and not arguments.prefix:
        raise UserError("--alternatives needs a --prefix; add one")
    check_lengths(arguments.min_tokens, arguments.max_tokens)
    if arguments.language_model_weight is not None and not arguments.language_model:
        raise UserError("--language-model-weight needs a --language-model; add one")
    others = (arguments.prefix, arguments.sample, arguments.n_best > 1, arguments.token_scores)
    if arguments.glossary and any(others):
        raise UserError(
            "--glossary is for the best translation; leave --prefix, --sample, --n-best, --token-scores out"
        )
    drawn = {f"--{name.replace('_', '-')}": getattr(arguments, name) for name in (*SAMPLING, "seed")}
    if not arguments.sample and (given := [option for option, value in drawn.items() if value is not None]):
        raise UserError(f"{given[0]} is for --sample; add it, or leave {given[0]} out")
    if arguments.sample and arguments.prefix:
        raise UserError("--sample does not support --prefix; leave one of them out")
    check_ranges(arguments, RANGES)


def check_ranges(arguments: argparse.Namespace, names: Iterable[str]) -> None:
    """Raises `UserError` if the value of one of these options is out of its range in `RANGES`."""
    for name in names:
        is_right, allowed = RANGES[name]
        value = getattr(arguments, name)
        if value is not None and not is_right(value):
            raise UserError(f"--{name.replace('_', '-')} is {value}; it must be {allowed}")


def request(arguments: argparse.Namespace) -> "TranslationRequest":
    """Returns the `TranslationRequest` that the options describe."""
    from keras_nmt.app.decoding.glossary import read_glossary
    from keras_nmt.app.decoding.search.sampling import Sampling
    from keras_nmt.app.decoding.translator import TranslationRequest

    given = {name: getattr(arguments, name) for name in SAMPLING}
    sampling = Sampling(**{name: value for name, value in given.items() if value is not None})
    return TranslationRequest(
        arguments.n_best,
        with_tokens=arguments.token_scores,
        at_prefix=arguments.alternatives,
        sampling=sampling if arguments.sample else None,
        seed=1 if arguments.seed is None else arguments.seed,
        glossary=read_glossary(arguments.glossary) if arguments.glossary else (),
    )


def output_line(number: int, translation: "Translation", alignment: str, arguments: argparse.Namespace) -> str:
    """Returns the output for line `number`, counted from 0: the translation, the n best in Moses' format, or JSON."""
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


def check_lengths(least: int | None, most: int | None) -> None:
    """Raises `UserError` if `--min-length` or `--max-length` is out of range; None is the model's own value."""
    for option, value in (("--min-length", least), ("--max-length", most)):
        if value is not None and value < 0:
            raise UserError(f"{option} is {value}; it must be at least 0")
    if least and most and least > most:
        raise UserError(f"--min-length is {least}, which is more than --max-length, {most}")


def check_verb(arguments: argparse.Namespace, task: "Task") -> None:
    """Raises `UserError` if the model's `Task` has another verb than this command."""
    if task.verb != arguments.verb:
        raise UserError(f"{arguments.model} is a model of {task.name}; use nmt {task.verb}")


def alignment_without_tags(alignment: str, tags: int) -> str:
    """Removes the tags from an alignment, and numbers the source words from 0: "2-0 3-1" with 2 tags -> "0-0 1-1"."""
    pairs = (map(int, pair.split("-")) for pair in alignment.split())
    return " ".join(f"{source - tags}-{target}" for source, target in pairs if source >= tags)


def details(translation: "Translation") -> dict[str, Any]:
    """Returns the fields of a translation's JSON object, except the text."""
    tokens = [[piece, round(log_probability, 6)] for piece, log_probability in translation.tokens]
    return {
        "score": round(translation.score, 6),
        "confidence": round(translation.confidence, 4),
        **({"warnings": list(translation.warnings)} if translation.warnings else {}),
        **({"tokens": tokens} if tokens else {}),
    }
