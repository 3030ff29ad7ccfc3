"""`nmt evaluate`: scores a model on a test set, or output in a file, with the measures of its task."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_nmt.app.arguments import Verbs, add_checkpoint_options, add_language_options
from keras_nmt.app.errors import UserError
from keras_nmt.app.runtime.processors import batches_at_once
from keras_nmt.app.runtime.text_files import check_readable, read_lines

if TYPE_CHECKING:
    from keras_nmt.app.decoding.generation.graph import GenerationGraph
    from keras_nmt.app.models.exports import Model
    from keras_nmt.app.tasks.task import Task
    from keras_nmt.pipelines.vocabulary.tags import Languages

TRANSLATION = "translation"


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt evaluate` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "evaluate",
        help="score a model or a file of its output",
        description="Scores the output of a model for a test set, or output in a file, with the measures of the task. "
        "Translations: BLEU, chrF and TER by sacreBLEU, with signatures. Summaries: ROUGE.",
        epilog="example: nmt evaluate run --test-set sample:tatoeba-en-de --json",
    )
    add = parser.add_argument
    add("model", nargs="?", type=Path, metavar="MODEL", help="a run or an export")
    add("--hypothesis", type=Path, metavar="F", help="score this output instead of a model's")
    add("--task", metavar="NAME", help="task of the --hypothesis (default: translation)")
    add("--source", type=Path, metavar="F", help="input of the model")
    add(
        "--reference",
        type=Path,
        nargs="+",
        default=[],
        metavar="F",
        help="reference for the output, or several",
    )
    add("--test-set", metavar="NAME", help="test set of sacreBLEU, such as wmt14, or a SPEC as of nmt prepare")
    add("--pair", metavar="SRC-TGT", help="translation direction; not needed for a model with one pair")
    add_language_options(parser)
    add("--output", type=Path, metavar="F", help="write the output of the model to this file")
    add_checkpoint_options(parser)
    add("--tokenize", metavar="NAME", help="sacreBLEU's tokenizer for BLEU (default: the one for the language)")
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Scores the output, and prints a line for each metric, or one JSON object."""
    check_usage(arguments)
    from keras_nmt.app.runtime.tensorflow_start import import_tensorflow

    if arguments.model:
        import_tensorflow(batches_at_once=batches_at_once())
    from keras_nmt.app.tasks.known import task_named

    model = open_model(arguments.model, arguments.checkpoint, arguments.ensemble)
    task = model.task if model else task_named(arguments.task or TRANSLATION)
    pair, target = sides(arguments, task, model)
    task.check_scoring([target], arguments.tokenize)  # fails before long work if a package is missing
    sources, *references = test_text(arguments, task, pair)
    outputs: list[str] = []
    if task.measures_text:
        scores = task.measure(engine_of(model, arguments), sources, references[0])
    else:
        if model:
            tag = model.languages.tagger(target, arguments.domain)
            outputs = outputs_of(model, [tag(source) for source in sources])
        else:
            outputs = read_lines(arguments.hypothesis)
        scores = task.score(outputs, references, language=target, tokenizer=arguments.tokenize)
    print(json.dumps(scores.as_dict()) if arguments.json else "\n".join(scores.lines()))
    if model:
        keep_scores(model, name_of_text(arguments, model.languages, target), len(references[0]), scores.as_dict())
    if arguments.output:
        arguments.output.write_text("".join(f"{line}\n" for line in outputs), encoding="utf-8")


def engine_of(model: "Model | None", arguments: argparse.Namespace) -> "GenerationGraph":
    """Returns the engine of a run that measures text.

    Raises:
        UserError: There is no run, or there is an output file.
    """
    from keras_nmt.app.decoding.generation.graph import GenerationGraph
    from keras_nmt.app.models.loading import RunModel

    if arguments.output:
        raise UserError("--output is for output that is scored; a language model is measured on given text")
    if not isinstance(model, RunModel) or not isinstance(model.engine, GenerationGraph):
        raise UserError("a language model is measured on text: give the run, and --test-set text:FILE")
    return model.engine


def check_usage(arguments: argparse.Namespace) -> None:
    """Raises `UserError` if the options do not define one text to score and its references, or a file is unusable."""
    if bool(arguments.model) == bool(arguments.hypothesis):
        raise UserError("give either a MODEL or --hypothesis FILE to score")
    if bool(arguments.test_set) == bool(arguments.reference):
        raise UserError("give either --test-set NAME, or --reference FILE (and --source FILE for a MODEL)")
    if arguments.model and not arguments.test_set and not arguments.source:
        raise UserError("a MODEL needs text to translate: give --source FILE beside --reference")
    if arguments.model and arguments.task:
        raise UserError("--task is for a --hypothesis; a MODEL knows its task")
    if arguments.test_set and arguments.source:
        raise UserError("--test-set has its own source; leave --source out")
    if arguments.hypothesis and (arguments.to or arguments.domain):
        raise UserError("--to and --domain are for a MODEL; give --pair for the language of a --hypothesis")
    if arguments.output and not arguments.output.parent.is_dir():
        raise UserError(f"cannot write {arguments.output}: there is no folder {arguments.output.parent}")
    if arguments.output and arguments.output.is_dir():
        raise UserError(f"cannot write {arguments.output}: it is a folder")
    for path in (arguments.source, *arguments.reference, arguments.hypothesis):
        if path:
            check_readable(path)


def sides(arguments: argparse.Namespace, task: "Task", model: "Model | None") -> tuple[str | None, str]:
    """Returns the language pair of the text, or None if it is not needed or unknown, and the language of the output.

    The language is the target language, or "" if it is unknown.

    Raises:
        UserError: The pair or the language does not fit the `Task` or the model.
    """
    if task.roles:
        given = {"--pair": arguments.pair, "--to": arguments.to, "--tokenize": arguments.tokenize}
        if unused := [option for option, value in given.items() if value]:
            raise UserError(f"{unused[0]} is for translation, not for {task.name}; leave it out")
        return str(task.roles), model.languages.targets[0] if model else task.roles.target
    if not model and arguments.test_set and not arguments.pair:
        raise UserError("give --pair SRC-TGT beside --test-set, such as --pair en-de")
    return direction(arguments, model.languages) if model else given_pair(arguments.pair)


def direction(arguments: argparse.Namespace, languages: "Languages") -> tuple[str | None, str]:
    """Returns the language pair to evaluate and its target language.

    The pair is None if the model has several pairs with this target language and no pair is needed. A pair is needed
    only for a named test set.

    Raises:
        UserError: The model does not translate the pair, or several pairs are possible and one must be chosen.
    """
    from keras_nmt.pipelines.language_codes import match
    from keras_nmt.pipelines.sources.corpora import LanguagePair

    pair = languages.find(LanguagePair.parse(arguments.pair)) if arguments.pair else None
    if arguments.pair and not pair:
        raise UserError(
            f"--pair is {arguments.pair}, but {arguments.model} translates {', '.join(map(str, languages.pairs))}; "
            f"{'leave --pair out' if len(languages.pairs) == 1 else 'choose one of them'}"
        )
    if pair and arguments.to and not match(arguments.to, [pair.target]):
        raise UserError(f"--pair is {arguments.pair}, but --to is {arguments.to}; leave one of them out")
    target = pair.target if pair else arguments.to
    languages.tags_of(target, arguments.domain)  # raises if one of them is wrong
    target = str(match(target, languages.targets)) if target else languages.targets[0]
    into = [str(one) for one in languages.pairs if one.target == target]
    if not pair and len(into) > 1 and arguments.test_set:
        raise UserError(f"{arguments.model} translates {', '.join(into)}; choose one with --pair")
    return str(pair) if pair else into[0] if len(into) == 1 else None, target


def given_pair(pair: str | None) -> tuple[str | None, str]:
    """Returns the language pair of the command line and its target language; None and "" if no pair is given."""
    from keras_nmt.pipelines.sources.corpora import LanguagePair

    return pair, LanguagePair.parse(pair).target if pair else ""


def name_of_text(arguments: argparse.Namespace, languages: "Languages", target: str) -> str:
    """Returns the name of the evaluated text.

    The name consists of the name of the test set or file, the target language if the model has several target
    languages, and the domain if a domain is given.
    """
    name = str(arguments.test_set or arguments.reference[0].name)
    language = f" into {target}" if len(languages.targets) > 1 else ""
    return name + language + (f" as {arguments.domain}" if arguments.domain else "")


def open_model(path: Path | None, checkpoint: str | None, ensemble: Sequence[str]) -> "Model | None":
    """Returns the model at `path`, or None if `path` is None."""
    if path is None:
        return None
    from keras_nmt.app.models.loading import load_model

    return load_model(path, checkpoint=checkpoint, ensemble=ensemble)


def keep_scores(model: "Model", text: str, sentences: int, scores: dict[str, Any]) -> None:
    """Stores the scores in the run, if the model is a run, for the model card of a later export."""
    from keras_nmt.app.models.loading import RunModel

    if isinstance(model, RunModel):
        model.keep_scores(text, sentences, scores)


def outputs_of(model: "Model", sources: list[str]) -> list[str]:
    """Runs the model on all lines under a progress bar, and returns the best output for each line."""
    from keras_nmt.app.runtime.console import work_bar

    phase = f"{model.task.verb}: lines"
    with work_bar({}) as bar:
        bar(phase, 0, len(sources))
        translator = model.translator(batches_at_once=batches_at_once())
        outputs = translator.translate(sources, progress=lambda lines: bar.add(phase, lines))
    return [output.text for output in outputs]


def test_text(arguments: argparse.Namespace, task: "Task", pair: str | None) -> list[list[str]]:
    """Returns the source lines (none if there is no source text), then the lines of each reference."""
    if arguments.test_set:
        from keras_nmt.app.evaluation import corpus_lines, test_set

        found = corpus_lines(arguments.test_set, task.roles) if task.roles else test_set(arguments.test_set, str(pair))
        return list(found)
    references = [read_lines(path) for path in arguments.reference]
    sources = read_lines(arguments.source) if arguments.source else []
    for path, lines in zip(arguments.reference, references, strict=True):
        if arguments.source and len(sources) != len(lines):
            raise UserError(
                f"{arguments.source} has {len(sources)} lines but {path} has {len(lines)}; "
                "a source line needs one reference line"
            )
    return [sources, *references]
