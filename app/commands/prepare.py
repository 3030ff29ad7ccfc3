"""`nmt prepare`: turns parallel text into a vocabulary and shards."""

import argparse
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SPECS = (
    "SPEC is tfds:NAME[SUBSETS][:SPLIT] (as tfds:wmt14_translate/de-en), files:PREFIX (PREFIX.en and PREFIX.de), "
    "tsv:FILE (source TAB target), jsonl:FILE, tmx:FILE, or sample:tatoeba-en-de (bundled); files may be compressed "
    "(.gz, .xz, .zst, .bz2), patterns, gs://, s3:// or https://, and tsv:- is standard input; reversed:SPEC takes its "
    "targets for sources; options may follow, as in files:news?weight=2&tag=news&pair=en-fr&loss_weight=0.5."
)
PHASES = {
    "download": "downloading bytes",
    "clean": "cleaning pairs",
    "duplicates": "looking for duplicates, passes",
    "vocabulary": "learning the vocabulary from pairs",
    "encode": "encoding pairs",
    "shards": "writing training pairs",
}


def add_parser(verbs: Any) -> None:
    """Describes the command."""
    parser = verbs.add_parser(
        "prepare",
        help="turn parallel text into a vocabulary and shards",
        description=f"Cleans parallel text, trains a SentencePiece vocabulary and writes TFRecord shards. {SPECS}",
        epilog="example: nmt prepare --pair en-de --corpus sample:tatoeba-en-de --dev sample:tatoeba-en-de "
        "--vocabulary-size 8000 --out data",
    )
    add = parser.add_argument
    add("--pair", required=True, metavar="SRC-TGT", help="the direction, such as en-de")
    add("--corpus", dest="corpora", nargs="+", required=True, metavar="SPEC", help="training text; several are joined")
    add("--dev", nargs="+", required=True, metavar="SPEC", help="text to measure on while training")
    add("--held-out", nargs="+", default=[], metavar="SPEC", help="test sets, whose text no training pair may hold")
    add("--out", type=Path, required=True, metavar="DATA", help="the folder to write")
    add(
        "--vocabulary-size",
        type=int,
        metavar="N",
        help="pieces, a multiple of 8 (default: 32000, or as many as the text permits)",
    )
    add("--vocabulary", type=Path, metavar="FILE", help="use this SentencePiece model instead of training one")
    add(
        "--normalization",
        metavar="NAME",
        help="of a new vocabulary: nfc keeps all that a script needs (default), or identity, nfkc, nmt_nfkc",
    )
    add("--max-words", type=int, default=200, metavar="N", help="drop pairs with a longer side (default: 200)")
    add("--max-length-ratio", type=float, default=3.0, metavar="R", help="drop pairs more unequal (default: 3)")
    add("--min-letters", type=float, default=0.4, metavar="X", help="drop sides with a smaller share (default: 0.4)")
    add("--near-duplicates", type=float, default=0.9, metavar="X", help="drop pairs so alike (default: 0.9)")
    add(
        "--skip-filter",
        nargs="+",
        default=[],
        metavar="NAME",
        help="drop nothing for this reason, as the report says it",
    )
    add("--drop-malformed", action="store_true", help="drop lines of tsv:, jsonl: and tmx: that are no pair")
    add("--keep-dropped", action="store_true", help="write the dropped pairs to DATA/dropped.tsv.gz")
    add("--max-tokens", type=int, default=256, metavar="N", help="drop pairs with more tokens a side (default: 256)")
    add("--limit", type=int, metavar="N", help="take only the first N clean pairs")
    add("--tfds-dir", metavar="DIR", help="where TensorFlow Datasets keeps its downloads")
    add("--downloads", type=Path, metavar="DIR", help="where other downloads are kept, and looked for first")
    add("--shards", type=int, metavar="N", help="how many (default: one for at most 37000 pairs, a multiple of 8)")
    add("--seed", type=int, default=0, metavar="N", help="of how pairs are dealt to the shards (default: 0)")
    add("--force", action="store_true", help="replace DATA if it is there")
    add("--workers", type=int, metavar="N", help="processes (default: one a core); they change nothing in the result")
    add("--beam", action="store_true", help="run as Apache Beam pipelines (the extra `beam`); DATA must be shared")
    add("--runner", metavar="NAME", help="of Beam, such as FlinkRunner (default: DirectRunner)")
    add("--beam-options", nargs="+", default=[], metavar="KEY=VALUE", help="further options of the runner")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prepares, and says what was kept and dropped."""
    from pipelines.cleaning.filters import CleaningOptions
    from pipelines.preparation.prepare import PreparationOptions
    from pipelines.sources.corpora import LanguagePair

    cleaning = CleaningOptions(
        max_words=arguments.max_words,
        max_length_ratio=arguments.max_length_ratio,
        min_letters=arguments.min_letters,
        near_duplicates=arguments.near_duplicates,
        skip=filter_names(arguments.skip_filter),
    )
    options = PreparationOptions(
        pair=LanguagePair.parse(arguments.pair),
        corpora=tuple(arguments.corpora),
        dev=tuple(arguments.dev),
        out=arguments.out,
        held_out=tuple(arguments.held_out),
        vocabulary_size=arguments.vocabulary_size,
        vocabulary=arguments.vocabulary,
        normalization=arguments.normalization,
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
    )
    with chosen_workers(arguments) as workers:
        prepare_and_report(options, workers)
    print(options.out)


def filter_names(words: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of filters, written as in the report too: "few letters", "few-letters", or as two words."""
    from pipelines.cleaning.filters import OPTIONAL

    parts = [part for word in words for part in re.split(r"[\W_]+", word.casefold()) if part]
    names = []
    while parts:
        count = next((n for n in range(len(parts), 0, -1) if "_".join(parts[:n]) in OPTIONAL), 1)
        names.append("_".join(parts[:count]))
        del parts[:count]
    return tuple(names)


@contextmanager
def chosen_workers(arguments: argparse.Namespace) -> Iterator[Any]:
    """Gives what runs the steps (`pipelines.preparation.workers.Workers`), and ends it."""
    from pipelines.errors import DataError
    from pipelines.preparation.workers import BeamWorkers, local_workers

    if not arguments.beam and (arguments.runner or arguments.beam_options):
        raise DataError("--runner and --beam-options are Apache Beam's; give --beam too")
    if arguments.beam and arguments.workers:
        raise DataError("--workers is for processes on this machine; with --beam, the runner has an option of its own")
    if arguments.beam:
        runner = arguments.runner or "DirectRunner"
        yield BeamWorkers([f"--runner={runner}", *(f"--{option}" for option in arguments.beam_options)])
    else:
        with local_workers(arguments.workers) as workers:
            yield workers


def prepare_and_report(options: Any, workers: Any = None) -> None:
    """Prepares `options` (`PreparationOptions`) under a progress bar; says what became of the pairs."""
    from app.runtime.console import say, work_bar
    from pipelines.cleaning.filters import CleaningReport
    from pipelines.preparation.prepare import prepare
    from pipelines.preparation.report import PAGE
    from pipelines.vocabulary.size import USUAL_SIZE

    with work_bar(PHASES) as bar:
        manifest = prepare(options, workers=workers, progress=bar)
    for name, split in manifest.splits.items():
        source, target = (sum(getattr(s, f"{side}_tokens") for s in split.shards) for side in ("source", "target"))
        for line in CleaningReport(**split.cleaning).lines():
            say(f"{name}: {line}")
        say(f"{name}: {source:,} source and {target:,} target tokens in {len(split.shards)} shard(s)")
    if not (options.vocabulary_size or options.vocabulary) and manifest.vocabulary_size < USUAL_SIZE:
        say(f"vocabulary: {manifest.vocabulary_size:,} pieces, as many as the text permits; usual are {USUAL_SIZE:,}")
    say(f"what was dropped, and why: {options.out / PAGE}")
