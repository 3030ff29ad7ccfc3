"""Measures the effect of a glossary on the translations of a trained model: enforced terms, and the change in BLEU.

The glossary is extracted from the training text: words that nearly always occur in the same sentence pairs (Dice
coefficient). Only test sentences whose references agree with the glossary are translated.

Usage: python -m benchmarks.glossary RUN --train PREFIX --test PREFIX --pair en-de
"""

import argparse
import json
import re
from collections import Counter
from pathlib import Path

from keras_nmt.app.runtime.tensorflow_start import import_tensorflow
from keras_nmt.app.runtime.text_files import read_lines

MIN_LETTERS, MIN_PAIRS, MIN_DICE = 4, 30, 0.6  # letters in a word; sentence pairs with both words; Dice coefficient


def main() -> None:
    """Translates with and without the glossary, and prints the results as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="output of `nmt train`")
    parser.add_argument("--train", required=True, metavar="PREFIX", help="text from which the glossary is extracted")
    parser.add_argument("--test", required=True, metavar="PREFIX", help="text to translate")
    parser.add_argument("--pair", required=True, metavar="SRC-TGT", help="suffixes of the text files, such as en-de")
    parser.add_argument("--sentences", type=int, default=200, help="maximum number of sentences (default: 200)")
    arguments = parser.parse_args()
    languages = arguments.pair.split("-")
    train, test = (
        [read_lines(Path(f"{prefix}.{end}")) for end in languages] for prefix in (arguments.train, arguments.test)
    )
    glossary = extract_glossary(*train)
    chosen = [pair for pair in zip(*test, strict=True) if agrees(glossary, *pair)][: arguments.sentences]
    import_tensorflow()
    from keras_nmt.app.decoding.translator import TranslationRequest
    from keras_nmt.app.evaluation import score
    from keras_nmt.app.models.loading import load_model

    sources, references = (list(side) for side in zip(*chosen, strict=True))
    model = load_model(arguments.run)
    wanted = [[glossary[word] for word in words(source) & glossary.keys()] for source in sources]
    found = {}
    for name, request in (
        ("without", TranslationRequest()),
        ("with", TranslationRequest(glossary=tuple(glossary.items()))),
    ):
        texts = [translation.text for translation in model.translator(request).translate(sources)]
        met = sum(target in text for text, targets in zip(texts, wanted, strict=True) for target in targets)
        found[name] = {"bleu": score(texts, references).bleu, "terms_met": met}
    required = sum(map(len, wanted))
    print(json.dumps({"sentences": len(sources), "glossary": len(glossary), "required": required, **found}))


def words(text: str) -> set[str]:
    """Returns the words of a text that have at least MIN_LETTERS letters."""
    return {word for word in re.findall(r"\w+", text) if len(word) >= MIN_LETTERS}


def agrees(glossary: dict[str, str], source: str, reference: str) -> bool:
    """Returns True if the source has terms of the glossary, and the reference has the translations of these terms."""
    terms = words(source) & glossary.keys()
    return bool(terms) and all(glossary[term] in words(reference) for term in terms)


def extract_glossary(sources: list[str], targets: list[str]) -> dict[str, str]:
    """Returns source words, each with the target word that nearly always occurs in the same sentence pairs.

    Two words must occur together in at least MIN_PAIRS pairs, with a Dice coefficient of at least MIN_DICE.
    """
    source_counts, target_counts, pair_counts = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for source, target in zip(sources, targets, strict=True):
        left, right = words(source), words(target)
        source_counts.update(left)
        target_counts.update(right)
        pair_counts.update((a, b) for a in left for b in right)
    dice = {
        pair: 2 * count / (source_counts[pair[0]] + target_counts[pair[1]])
        for pair, count in pair_counts.items()
        if count >= MIN_PAIRS
    }
    best = {pair[0]: pair[1] for pair, value in sorted(dice.items(), key=lambda item: item[1]) if value >= MIN_DICE}
    return dict(sorted(best.items()))


if __name__ == "__main__":
    main()
