"""Computes BLEU as papers before sacreBLEU report it: on lowercased Moses tokens, counted as in multi-bleu.perl.

Use it only for comparison with such papers: the score depends on the tokeniser, so it is not comparable with that of
sacreBLEU.
"""

import argparse
import json
from pathlib import Path

from sacrebleu.metrics.bleu import BLEU, BLEUScore
from sacremoses import MosesTokenizer

from keras_nmt.app.runtime.text_files import read_lines

METRIC = BLEU(lowercase=True, tokenize="none", smooth_method="none", force=True)


def main() -> None:
    """Prints the BLEU score of a file of translations as one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python -m benchmarks.tokenized_bleu --language de --hypothesis out.de --reference test.de",
    )
    parser.add_argument("--language", required=True, help="language of the translations, such as de")
    parser.add_argument("--hypothesis", type=Path, required=True, metavar="F", help="detokenised translations")
    parser.add_argument("--reference", type=Path, required=True, metavar="F", help="reference translations")
    arguments = parser.parse_args()
    found = tokenized_bleu(read_lines(arguments.hypothesis), read_lines(arguments.reference), arguments.language)
    print(json.dumps({"bleu": found.score, "brevity_penalty": found.bp, "signature": str(METRIC.get_signature())}))


def tokenized_bleu(hypotheses: list[str], references: list[str], language: str) -> BLEUScore:
    """Returns the BLEU score of detokenised translations on lowercased Moses tokens."""
    return METRIC.corpus_score(tokenized(hypotheses, language), [tokenized(references, language)])


def tokenized(lines: list[str], language: str) -> list[str]:
    """Returns the lines split into Moses tokens, with a space between tokens."""
    moses = MosesTokenizer(language)
    return [moses.tokenize(line, return_str=True, escape=False) for line in lines]


if __name__ == "__main__":
    main()
