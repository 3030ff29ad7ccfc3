"""The options that several verbs for text have: input, search, sampling and output."""

import argparse
from pathlib import Path

from keras_nmt.app.arguments import add_penalty_option


def add_input_arguments(parser: argparse.ArgumentParser, text: str) -> None:
    """Adds the arguments MODEL and FILE; `text` describes the file."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="a run or an export")
    parser.add_argument(
        "file", nargs="?", type=Path, default=Path("-"), metavar="FILE", help=f"{text} (default: -, stdin)"
    )


def add_search_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Adds the options of beam search; returns their group."""
    group = parser.add_argument_group("search")
    add = group.add_argument
    add("--beam-size", type=int, metavar="K", help="number of hypotheses in the beam; 1: greedy search")
    add_penalty_option(group)
    return group


def add_repetition_options(group: argparse._ArgumentGroup) -> None:
    """Adds the options against repetition."""
    add = group.add_argument
    add("--no-repeat-ngram-size", type=int, metavar="N", help="do not repeat any N tokens in a row")
    add("--repetition-penalty", type=float, metavar="P", help="above 1, make tokens that were used before less likely")


def add_language_model_options(group: argparse._ArgumentGroup) -> None:
    """Adds the options for a language model that helps to translate."""
    add = group.add_argument
    add(
        "--language-model",
        metavar="RUN[:WHICH]",
        help="add the log-probabilities of this language model of the target language, times a weight",
    )
    add("--language-model-weight", type=float, metavar="W", help="weight of the --language-model (default: 0.1)")


def add_length_options(group: argparse._ArgumentGroup, piece: str) -> None:
    """Adds `--min-length` and `--max-length`; `piece` is what the model reads at once."""
    add = group.add_argument
    units = f"pieces (words and parts of words) for each {piece}"
    add("--min-length", type=int, dest="min_tokens", metavar="N", help=f"output at least N {units}")
    add("--max-length", type=int, dest="max_tokens", metavar="N", help=f"output at most N {units}; 0: no limit")


def add_constraint_options(group: argparse._ArgumentGroup) -> None:
    """Adds the options that constrain a translation: a glossary, and a prefix."""
    add = group.add_argument
    add("--glossary", type=Path, metavar="TSV", help="required translations of terms: SOURCE TERM, tab, TARGET TERM")
    add("--prefix", type=Path, metavar="F", help="file with the beginning of the translation of each line")
    add("--alternatives", action="store_true", help="make the --n-best differ right after their --prefix")


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options for random output instead of beam search."""
    add = parser.add_argument_group("sampling", "Output drawn at random, as for back-translation.").add_argument
    add("--sample", action="store_true", help="draw --n-best outputs for each line instead of searching")
    add("--temperature", type=float, metavar="T", help="below 1, make likely tokens more likely (default: 1)")
    add("--top-k", type=int, metavar="K", help="draw from the K most likely tokens (default: all)")
    add("--top-p", type=float, metavar="P", help="draw from the fewest tokens with this probability (default: 1)")
    add("--seed", type=int, metavar="S", help="seed of the draws; equal seeds draw the same (default: 1)")


def add_output_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Adds the options for what is printed; returns their group."""
    group = parser.add_argument_group("output")
    add = group.add_argument
    add("--n-best", type=int, default=1, metavar="N", help="print the N best as LINE ||| TEXT ||| SCORE")
    add("--scores", action="store_true", help="print TEXT, a tab and the score")
    add("--json", action="store_true", help="print one JSON object a line, with confidence and warnings")
    add("--token-scores", action="store_true", help="with --json, add each token and its log-probability")
    return group


def add_alignment_option(group: argparse._ArgumentGroup) -> None:
    """Adds `--alignment`."""
    text = "print TEXT ||| 0-0 2-1 …: source word 2 is aligned to word 1 of TEXT"
    group.add_argument("--alignment", action="store_true", help=text)
