"""`nmt prepare`: turns parallel text into a vocabulary and shards."""

import argparse
from pathlib import Path
from typing import Any

SPECS = (
    "SPEC is tfds:NAME[:SPLIT] (as tfds:wmt14_translate/de-en), files:PREFIX (PREFIX.en and PREFIX.de, .gz too), "
    "tsv:FILE (source TAB target), or sample:tatoeba-en-de (bundled); reversed:SPEC takes its targets for sources."
)
PHASES = {
    "clean": "cleaning pairs",
    "vocabulary": "training the vocabulary on pairs",
    "encode": "writing training pairs",
    "dev": "writing dev pairs",
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
    add("--dev", required=True, metavar="SPEC", help="text to measure on while training")
    add("--out", type=Path, required=True, metavar="DATA", help="the folder to write")
    add("--vocabulary-size", type=int, default=32_000, metavar="N", help="pieces, a multiple of 8 (default: 32000)")
    add("--vocabulary", type=Path, metavar="FILE", help="use this SentencePiece model instead of training one")
    add("--max-words", type=int, default=200, metavar="N", help="drop pairs with a longer side (default: 200)")
    add("--max-length-ratio", type=float, default=3.0, metavar="R", help="drop pairs more unequal (default: 3)")
    add("--max-tokens", type=int, default=256, metavar="N", help="drop pairs with more tokens a side (default: 256)")
    add("--limit", type=int, metavar="N", help="take only the first N clean pairs")
    add("--tfds-dir", metavar="DIR", help="where TensorFlow Datasets keeps its downloads")
    add("--force", action="store_true", help="replace DATA if it is there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prepares, and says what was kept and dropped."""
    from pipelines.corpora import LanguagePair

    pair = LanguagePair.parse(arguments.pair)
    from app.quiet import import_tensorflow

    import_tensorflow()
    from pipelines.cleaning import CleaningOptions
    from pipelines.preparation import PreparationOptions

    options = PreparationOptions(
        pair=pair,
        corpora=tuple(arguments.corpora),
        dev=arguments.dev,
        out=arguments.out,
        vocabulary_size=arguments.vocabulary_size,
        vocabulary=arguments.vocabulary,
        max_tokens=arguments.max_tokens,
        cleaning=CleaningOptions(arguments.max_words, arguments.max_length_ratio),
        limit=arguments.limit,
        force=arguments.force,
        tfds_dir=arguments.tfds_dir,
    )
    prepare_and_report(options)
    print(options.out)


def prepare_and_report(options: Any) -> None:
    """Prepares `options` (`PreparationOptions`) under a progress bar; says what became of the pairs."""
    from app.console import say, work_bar
    from pipelines.cleaning import CleaningReport
    from pipelines.preparation import prepare

    with work_bar(PHASES) as bar:
        manifest = prepare(options, progress=bar)
    for name, split in manifest.splits.items():
        source, target = (sum(getattr(s, f"{side}_tokens") for s in split.shards) for side in ("source", "target"))
        for line in CleaningReport(**split.cleaning).lines():
            say(f"{name}: {line}")
        say(f"{name}: {source:,} source and {target:,} target tokens in {len(split.shards)} shard(s)")
