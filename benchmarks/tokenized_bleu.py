"""BLEU as papers before sacreBLEU gave it: Moses' tokens, lowercased, as multi-bleu.perl counts them.

For comparison with such papers alone; it depends on the tokeniser, so it is no score to publish beside sacreBLEU's.
"""

import argparse
import json
from pathlib import Path

from sacrebleu.metrics.bleu import BLEU, BLEUScore
from sacremoses import MosesTokenizer

from app.runtime.text_files import read_lines

METRIC = BLEU(lowercase=True, tokenize="none", smooth_method="none", force=True)


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python -m benchmarks.tokenized_bleu --language de --hypothesis out.de --reference test.de",
    )
    parser.add_argument("--language", required=True, help="of the translations, such as de")
    parser.add_argument("--hypothesis", type=Path, required=True, metavar="F", help="detokenised translations")
    parser.add_argument("--reference", type=Path, required=True, metavar="F", help="their references")
    arguments = parser.parse_args()
    found = tokenized_bleu(read_lines(arguments.hypothesis), read_lines(arguments.reference), arguments.language)
    print(json.dumps({"bleu": found.score, "brevity_penalty": found.bp, "signature": str(METRIC.get_signature())}))


def tokenized_bleu(hypotheses: list[str], references: list[str], language: str) -> BLEUScore:
    """BLEU of detokenised translations, on Moses' tokens in lower case."""
    return METRIC.corpus_score(tokenized(hypotheses, language), [tokenized(references, language)])


def tokenized(lines: list[str], language: str) -> list[str]:
    """The lines with a space between any two of Moses' tokens."""
    moses = MosesTokenizer(language)
    return [moses.tokenize(line, return_str=True, escape=False) for line in lines]


if __name__ == "__main__":
    main()
