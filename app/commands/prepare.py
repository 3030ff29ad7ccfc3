"""`nmt prepare`: turns parallel text into a vocabulary and shards."""

import argparse
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from keras_nmt.app.arguments import Verbs
from keras_nmt.app.errors import UserError

if TYPE_CHECKING:
    from keras_nmt.app.tasks.task import Task
    from keras_nmt.pipelines.preparation.options import PreparationOptions
    from keras_nmt.pipelines.preparation.workers import Workers
    from keras_nmt.pipelines.shards.splits import Split
    from keras_nmt.pipelines.sources.corpora import LanguagePair

SPECS = (
    "SPEC is tfds:NAME[SUBSETS][:SPLIT] (as tfds:wmt14_translate/de-en), files:PREFIX (PREFIX.en and PREFIX.de), "
    "tsv:FILE (source TAB target), jsonl:FILE, tmx:FILE, trees:FILE (a treebank in brackets), text:FILE (running text "
    "for language models), or sample:NAME (bundled: tatoeba-en-de and others); files may be compressed (.gz, .xz, "
    ".zst, .bz2), glob patterns, or addresses (gs://, s3://, https://), and tsv:- is standard input; reversed:SPEC "
    "swaps source and target; options may follow, as in files:news?weight=2&tag=news&pair=en-fr&loss_weight=0.5 or "
    "text:books/*.txt?documents=paragraphs."
)
TASK = "translation"
PHASES = {
    "download": "downloading bytes",
    "clean": "cleaning pairs",
    "duplicates": "looking for duplicates, passes",
    "vocabulary": "learning the vocabulary from pairs",
    "encode": "encoding pairs",
    "shards": "writing training pairs",
}


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt prepare` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "prepare",
        help="turn parallel text into a vocabulary and shards",
        description=f"Cleans parallel text, trains a SentencePiece vocabulary and writes TFRecord shards. {SPECS}",
        epilog="example: nmt prepare --pair en-de --corpus sample:tatoeba-en-de --dev sample:tatoeba-en-de "
        "--vocabulary-size 8000 --out data",
    )
    add_text_options(parser)
    add_vocabulary_options(parser)
    add_cleaning_options(parser)
    add_shard_options(parser)
    add_worker_options(parser)
    parser.set_defaults(run=run)


def add_text_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options for the text to read and the folder to write."""
    add = parser.add_argument
    add(
        "--task",
        default=TASK,
        metavar="NAME",
        help="what the model will do: translation (default), summarization, parsing, language-model",
    )
    add("--pair", metavar="SRC-TGT", help="translation direction, such as en-de; only translation needs it")
    add("--corpus", dest="corpora", nargs="+", required=True, metavar="SPEC", help="training text; several are joined")
    add("--dev", nargs="+", required=True, metavar="SPEC", help="text on which training measures loss and BLEU")
    add("--held-out", nargs="+", default=[], metavar="SPEC", help="test sets; drop training pairs that hold their text")
    add("--out", type=Path, required=True, metavar="DATA", help="folder to write")


def add_vocabulary_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options for a new or an existing vocabulary."""
    add = parser.add_argument
    add(
        "--vocabulary-size",
        type=int,
        metavar="N",
        help="number of pieces, a multiple of 8 (default: 32000, or fewer if the text does not yield that many)",
    )
    add(
        "--vocabulary",
        type=Path,
        metavar="FILE",
        help="use this SentencePiece model, or that of this run or prepared data; with --units words, these words",
    )
    add(
        "--units",
        default="pieces",
        choices=("pieces", "characters", "bytes", "words"),
        help="units of a language model's new vocabulary; rare characters are spelt in bytes, rare words are <unk> "
        "(default: pieces)",
    )
    add(
        "--normalization",
        metavar="NAME",
        help="normalization of a new vocabulary: nfc, which suits every script (default), identity (default for "
        "language models), nfkc or nmt_nfkc",
    )


def add_cleaning_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that decide which pairs are dropped."""
    add = parser.add_argument
    add("--max-words", type=int, default=200, metavar="N", help="drop pairs with more words on a side (default: 200)")
    add(
        "--max-length-ratio",
        type=float,
        default=3.0,
        metavar="R",
        help="drop pairs with more than R times as many words on one side as on the other, plus 3 (default: 3)",
    )
    add(
        "--min-letters",
        type=float,
        default=0.4,
        metavar="X",
        help="drop pairs with a side in which fewer of the characters are letters (default: 0.4)",
    )
    add(
        "--near-duplicates",
        type=float,
        default=0.9,
        metavar="X",
        help="drop pairs that share this fraction of their word pairs with an earlier one (default: 0.9)",
    )
    add(
        "--skip-filter",
        nargs="+",
        default=[],
        metavar="NAME",
        help="turn off a filter, by the name that the report gives it",
    )
    add("--drop-malformed", action="store_true", help="drop malformed lines of tsv:, jsonl: and tmx:, do not stop")
    add("--keep-dropped", action="store_true", help="write the dropped pairs to DATA/dropped.tsv.gz")
    add(
        "--max-tokens",
        type=int,
        default=256,
        metavar="N",
        help="drop pairs with more tokens on a side; length of a language model's blocks (default: 256)",
    )


def add_shard_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options for downloads and for the number, size and order of the shards."""
    add = parser.add_argument
    add("--limit", type=int, metavar="N", help="use only the first N clean pairs")
    add("--tfds-dir", metavar="DIR", help="folder in which TensorFlow Datasets keeps its downloads")
    add("--downloads", type=Path, metavar="DIR", help="folder in which other downloads are kept and looked up")
    add(
        "--shards",
        type=int,
        metavar="N",
        help="number of shards (default: a multiple of 8, with at most 37000 pairs a shard)",
    )
    add("--seed", type=int, default=0, metavar="N", help="seed for dealing pairs to the shards (default: 0)")
    add("--force", action="store_true", help="replace DATA if it exists")


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options for the processes or the Apache Beam runner that prepare the data."""
    add = parser.add_argument
    add("--workers", type=int, metavar="N", help="number of processes (default: one a core); the result is the same")
    add("--beam", action="store_true", help="run as Apache Beam pipelines (extra `beam`); all workers must share DATA")
    add("--runner", metavar="NAME", help="Beam runner, such as FlinkRunner (default: DirectRunner)")
    add("--beam-options", nargs="+", default=[], metavar="KEY=VALUE", help="further options for the Beam runner")


def run(arguments: argparse.Namespace) -> None:
    """Prepares the data, and prints the numbers of kept and dropped pairs and the path of the data."""
    from keras_nmt.app.tasks.known import task_named
    from keras_nmt.pipelines.cleaning.filters import CleaningOptions
    from keras_nmt.pipelines.preparation.prepare import PreparationOptions

    task = task_named(arguments.task)
    cleaning = CleaningOptions(
        max_words=arguments.max_words,
        max_length_ratio=arguments.max_length_ratio,
        min_letters=arguments.min_letters,
        near_duplicates=arguments.near_duplicates,
        skip=filter_names(arguments.skip_filter),
    )
    options = PreparationOptions(
        pair=sides(arguments.pair, task),
        corpora=tuple(arguments.corpora),
        dev=tuple(arguments.dev),
        out=arguments.out,
        held_out=tuple(arguments.held_out),
        vocabulary_size=arguments.vocabulary_size,
        vocabulary=vocabulary_file(arguments.vocabulary),
        normalization=arguments.normalization,
        units=arguments.units,
        max_tokens=arguments.max_tokens,
        cleaning=cleaning,
        drop_malformed=arguments.drop_malformed,
        keep_dropped=arguments.keep_dropped,
        shards=arguments.shards,
        seed=arguments.seed,
        limit=arguments.limit,
        force=arguments.force,
        tfds_dir=arguments.tfds_dir,
        downloads=arguments.downloads,
        recipe=task.recipe,
    )
    with opened_workers(arguments) as workers:
        prepare_and_report(options, workers)
    print(options.out)


def vocabulary_file(path: Path | None) -> Path | None:
    """Returns the file of a vocabulary that is given as a file, or as the folder of a run or of prepared data."""
    from keras_nmt.pipelines.shards.manifest import VOCABULARY

    return path / VOCABULARY if path and path.is_dir() else path


def sides(pair: str | None, task: "Task") -> "LanguagePair":
    """Returns the `LanguagePair` of the data: the translation direction `pair`, or the roles of the `Task`.

    Raises:
        UserError: A translation has no direction, or another task has one.
        DataError: `pair` is not a language pair.
    """
    from keras_nmt.pipelines.sources.corpora import LanguagePair

    if task.roles and pair:
        raise UserError(f"--pair is for translation; {task.name} has the sides {task.roles}; leave --pair out")
    if not task.roles and not pair:
        raise UserError("give the translation direction: --pair SRC-TGT, such as --pair en-de")
    return task.roles or LanguagePair.parse(pair or "")


def filter_names(words: Sequence[str]) -> tuple[str, ...]:
    """Returns the filter names in `words`, in the form "few_letters".

    A name may be written as "few_letters", "few-letters" or "few letters", or as several words of the command line.
    """
    from keras_nmt.pipelines.cleaning.filters import OPTIONAL

    parts = [part for word in words for part in re.split(r"[\W_]+", word.casefold()) if part]
    names = []
    while parts:
        count = next((n for n in range(len(parts), 0, -1) if "_".join(parts[:n]) in OPTIONAL), 1)
        names.append("_".join(parts[:count]))
        del parts[:count]
    return tuple(names)


@contextmanager
def opened_workers(arguments: argparse.Namespace) -> Iterator["Workers"]:
    """Yields the `pipelines.preparation.workers.Workers` that run the phases, and ends them after the context."""
    from keras_nmt.pipelines.errors import DataError
    from keras_nmt.pipelines.preparation.workers import BeamWorkers, local_workers

    if not arguments.beam and (arguments.runner or arguments.beam_options):
        raise DataError("--runner and --beam-options are for Apache Beam; add --beam")
    if arguments.beam and arguments.workers:
        raise DataError("--workers is for processes on this machine; with --beam, use the runner's own option")
    if arguments.beam:
        runner = arguments.runner or "DirectRunner"
        yield BeamWorkers([f"--runner={runner}", *(f"--{option}" for option in arguments.beam_options)])
    else:
        with local_workers(arguments.workers) as workers:
            yield workers


def prepare_and_report(options: "PreparationOptions", workers: "Workers | None" = None) -> None:
    """Prepares data under a progress bar, and prints the number of dropped pairs for each reason.

    Args:
        options: The `PreparationOptions` of the preparation.
        workers: The workers that run the phases of the preparation; None for one process per core.
    """
    from keras_nmt.app.runtime.console import say, work_bar
    from keras_nmt.pipelines.cleaning.filters import CleaningReport
    from keras_nmt.pipelines.preparation.prepare import prepare
    from keras_nmt.pipelines.preparation.report import PAGE
    from keras_nmt.pipelines.vocabulary.size import USUAL_SIZE

    with work_bar(PHASES) as bar:
        manifest = prepare(options, workers=workers, progress=bar)
    for name, split in manifest.splits.items():
        for line in CleaningReport(**split.cleaning).lines(options.recipe.counted):
            say(f"{name}: {line}")
        say(f"{name}: {size_of(split)} in {len(split.shards)} shard(s)")
    is_chosen = options.vocabulary_size or options.vocabulary or options.units != "pieces"
    if not is_chosen and manifest.vocabulary_size < USUAL_SIZE:
        say(f"vocabulary: {manifest.vocabulary_size:,} pieces, all that the text yields; {USUAL_SIZE:,} are usual")
    say(f"what was dropped, and why: {options.out / PAGE}")


def size_of(split: "Split") -> str:
    """Returns the size of a `Split` in words."""
    source, target = (sum(getattr(shard, f"{side}_tokens") for shard in split.shards) for side in ("source", "target"))
    if counts := split.text_counts:
        text = f"{counts.documents:,} document(s), {counts.words:,} words and {counts.characters:,} characters"
        return f"{text}; {target:,} tokens in {split.examples:,} block(s)"
    return f"{source:,} source and {target:,} target tokens"
