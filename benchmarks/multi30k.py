"""Trains the preset `tiny` on Multi30k and scores the model as papers do: on Moses tokens of lowercased text.

Each seed has its own run, whose last five checkpoints are averaged. With several seeds, the ensemble of all runs is
scored too. The command keeps the work that is already in the output folder, so it resumes where it was stopped.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tokenized_bleu import tokenized_bleu
from keras_nmt.app.runtime.text_files import read_lines
from keras_nmt.pipelines.sources.corpora import LanguagePair, open_corpus

DEV, TEST = "val", "test_2016_flickr"


def main() -> None:
    """Prepares the data, trains all runs, and prints their scores as one JSON object: model -> split -> scores."""
    options = read_options()
    text = options.out / "text"
    copy_text(options.data, text, options.target, keep_case=options.keep_case)
    data = options.out / "data"
    if not data.is_dir():
        run_nmt(
            *("prepare", "--pair", f"en-{options.target}", "--corpus", f"files:{text / 'train'}"),
            *("--dev", f"files:{text / DEV}", "--vocabulary-size", str(options.vocabulary_size), "--out", str(data)),
        )
    runs = [options.out / f"seed-{seed}" for seed in options.seeds]
    for seed, run in zip(options.seeds, runs, strict=True):
        run_nmt("train", str(data), "--out", str(run), "--preset", "tiny", "--set", f"training.seed={seed}")
        run_nmt("average", str(run), "--last", "5")
    models = {run.name: [run] for run in runs} | ({"ensemble": runs} if len(runs) > 1 else {})
    scores = {
        name: {split: score(members, text, split, options) for split in (DEV, TEST)} for name, members in models.items()
    }
    print(json.dumps(scores))


def read_options() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python -m benchmarks.multi30k --data multi30k --target de --out multi30k-de --seeds 1 2",
    )
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help=f"has train, {DEV} and {TEST}, each as .en, .de and .fr",
    )
    add("--target", choices=("de", "fr"), required=True, help="target language; the source is English")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for text, shards, runs and translations")
    add("--seeds", type=int, nargs="+", default=[1], metavar="N", help="seeds, one run each (default: 1)")
    add("--vocabulary-size", type=int, default=10_000, metavar="N", help="number of pieces (default: 10000)")
    add("--keep-case", action="store_true", help="do not lowercase the text")
    return parser.parse_args()


def copy_text(data: Path, text: Path, target: str, *, keep_case: bool) -> None:
    """Copies both languages of all splits to the folder `text`. Lowercases the text unless `keep_case` is true."""
    text.mkdir(parents=True, exist_ok=True)
    pair = LanguagePair("en", target)
    for split in ("train", DEV, TEST):
        sources, targets, _ = zip(*open_corpus(f"files:{data / split}", pair), strict=True)
        for language, lines in (("en", sources), (target, targets)):
            copied = "".join(f"{line.decode()}\n" for line in lines)
            (text / f"{split}.{language}").write_text(copied if keep_case else copied.lower(), encoding="utf-8")


def score(runs: Sequence[Path], text: Path, split: str, options: argparse.Namespace) -> dict[str, float]:
    """Translates a split and returns two BLEU scores: on lowercased Moses tokens, and by sacreBLEU.

    With several `runs`, their ensemble translates.
    """
    source, reference = (text / f"{split}.{language}" for language in ("en", options.target))
    output = options.out / f"{'ensemble' if len(runs) > 1 else runs[0].name}.{split}.{options.target}"
    others = [word for run in runs[1:] for word in ("--ensemble", str(run))]
    files = ("--source", str(source), "--reference", str(reference), "--output", str(output))
    sacrebleu = json.loads(run_nmt("evaluate", str(runs[0]), *others, *files, "--json"))["bleu"]
    found = tokenized_bleu(read_lines(output), read_lines(reference), options.target)
    return {"tokenized_lowercased_bleu": round(found.score, 2), "sacrebleu": round(sacrebleu, 2)}


def run_nmt(*arguments: str) -> str:
    """Runs the command `nmt` and returns its stdout. The stderr of `nmt` goes to the terminal."""
    print("nmt", *arguments, file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "keras_nmt", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


if __name__ == "__main__":
    main()
