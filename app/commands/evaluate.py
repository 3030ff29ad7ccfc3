"""`nmt evaluate`: BLEU, chrF and TER of a model or of translations that are there already."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.errors import UserError
from app.processors import batches_at_once
from app.text_files import check_readable, read_lines


def add_parser(verbs: Any) -> None:
    """Describes the command."""
    parser = verbs.add_parser(
        "evaluate",
        help="score a model or a file of translations",
        description="Translates a test set and scores it with sacreBLEU: BLEU, chrF and TER, each with its signature.",
        epilog="example: nmt evaluate run --test-set sample:tatoeba-en-de --json",
    )
    add = parser.add_argument
    add("model", nargs="?", type=Path, metavar="MODEL", help="a run or an export")
    add("--hypothesis", type=Path, metavar="F", help="score these translations instead of a model's")
    add("--source", type=Path, metavar="F", help="the text to translate")
    add("--reference", type=Path, metavar="F", help="its right translation")
    add("--test-set", metavar="NAME", help="a test set of sacreBLEU's, such as wmt14, or sample:tatoeba-en-de")
    add("--pair", metavar="SRC-TGT", help="the test set's direction; a model knows its own")
    add("--output", type=Path, metavar="F", help="write the translations here")
    add("--checkpoint", metavar="WHICH", help="of a run: best, last, average or a step (default: average, if newest)")
    add("--ensemble", action="append", default=[], metavar="RUN[:WHICH]", help="a run that translates together with it")
    add("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Scores, and prints three lines or one JSON object."""
    check_usage(arguments)
    from app.quiet import import_tensorflow

    if arguments.model:
        import_tensorflow(batches_at_once=batches_at_once())
    from app.evaluation import score

    model = open_model(arguments.model, arguments.checkpoint, arguments.ensemble)
    pair = arguments.pair or (model.pair if model else None)
    if model and pair != model.pair:
        raise UserError(f"--pair is {pair}, but {arguments.model} translates {model.pair}; leave --pair out")
    sources, references = test_text(arguments, pair)
    hypotheses = translate_all(model, sources) if model else read_lines(arguments.hypothesis)
    scores = score(hypotheses, references, target_language=pair.partition("-")[2] if pair else "")
    print(json.dumps(scores.as_dict()) if arguments.json else "\n".join(scores.lines()))
    keep_scores(model, arguments.test_set or arguments.reference.name, len(hypotheses), scores.as_dict())
    if arguments.output:
        arguments.output.write_text("".join(f"{line}\n" for line in hypotheses), encoding="utf-8")


def check_usage(arguments: argparse.Namespace) -> None:
    """Refuses combinations that leave open what is to be scored against what."""
    if bool(arguments.model) == bool(arguments.hypothesis):
        raise UserError("give either a MODEL or --hypothesis FILE to score")
    if bool(arguments.test_set) == bool(arguments.reference):
        raise UserError("give either --test-set NAME, or --reference FILE (and --source FILE for a MODEL)")
    if arguments.model and not arguments.test_set and not arguments.source:
        raise UserError("a MODEL needs text to translate: give --source FILE beside --reference")
    if arguments.test_set and arguments.source:
        raise UserError("--test-set brings its own source; leave --source out")
    if arguments.hypothesis and arguments.test_set and not arguments.pair:
        raise UserError("give --pair SRC-TGT beside --test-set, such as --pair en-de")
    if arguments.output and not arguments.output.parent.is_dir():
        raise UserError(f"cannot write {arguments.output}: there is no folder {arguments.output.parent}")
    if arguments.output and arguments.output.is_dir():
        raise UserError(f"cannot write {arguments.output}: it is a folder")
    for path in (arguments.source, arguments.reference, arguments.hypothesis):
        if path:
            check_readable(path)


def open_model(path: Path | None, checkpoint: str | None, ensemble: Sequence[str]) -> Any:
    """The model at `path`, or None without one."""
    if path is None:
        return None
    from app.models import load_model

    return load_model(path, checkpoint=checkpoint, ensemble=ensemble)


def keep_scores(model: Any, text: str, sentences: int, scores: dict[str, Any]) -> None:
    """Has a run remember its scores, for the model card of its export."""
    if model:
        from app.models import RunModel

        if isinstance(model, RunModel):
            model.keep_scores(text, sentences, scores)


def translate_all(model: Any, sources: list[str]) -> list[str]:
    """The model's best translations, under a progress bar."""
    from app.console import work_bar

    phase = "translating sentences"
    with work_bar({}) as bar:
        bar(phase, 0, len(sources))
        translator = model.translator(batches_at_once=batches_at_once())
        translations = translator.translate(sources, progress=lambda lines: bar.add(phase, lines))
    return [translation.text for translation in translations]


def test_text(arguments: argparse.Namespace, pair: str | None) -> tuple[list[str], list[str]]:
    """The source and reference lines to score on; no source where nothing is translated."""
    if arguments.test_set:
        from app.evaluation import test_set

        return test_set(arguments.test_set, str(pair))
    references = read_lines(arguments.reference)
    sources = read_lines(arguments.source) if arguments.source else []
    if arguments.source and len(sources) != len(references):
        raise UserError(
            f"{arguments.source} has {len(sources)} lines but {arguments.reference} has {len(references)}; "
            "a source line needs one reference line"
        )
    return sources, references
