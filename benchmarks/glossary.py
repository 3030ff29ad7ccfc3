"""What a glossary does to the translations of a trained model: which terms are met, and what it costs in BLEU.

The glossary is made of the training text: words that nearly always stand in the same pairs of sentences (Dice's
coefficient). Of the test text those sentences are taken whose references agree with it.

Usage: python -m benchmarks.glossary RUN --train PREFIX --test PREFIX --pair en-de
"""

import argparse
import json
import re
from collections import Counter
from pathlib import Path

from app.runtime.tensorflow_start import import_tensorflow
from app.runtime.text_files import read_lines

SHORTEST, RAREST, LEAST_DICE = 4, 30, 0.6  # letters of a word, pairs that it stands in, and the coefficient


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="what `nmt train` wrote")
    parser.add_argument("--train", required=True, metavar="PREFIX", help="text to make the glossary of")
    parser.add_argument("--test", required=True, metavar="PREFIX", help="text to translate")
    parser.add_argument("--pair", required=True, metavar="SRC-TGT", help="the ends of the files' names")
    parser.add_argument("--sentences", type=int, default=200, help="the first so many that fit (default: 200)")
    arguments = parser.parse_args()
    languages = arguments.pair.split("-")
    train, test = (
        [read_lines(Path(f"{prefix}.{end}")) for end in languages] for prefix in (arguments.train, arguments.test)
    )
    glossary = dictionary(*train)
    chosen = [pair for pair in zip(*test, strict=True) if agrees(glossary, *pair)][: arguments.sentences]
    import_tensorflow()
    from app.decoding.translator import Request
    from app.evaluation import score
    from app.models.loading import load_model

    sources, references = (list(side) for side in zip(*chosen, strict=True))
    model = load_model(arguments.run)
    wanted = [[glossary[word] for word in words(source) & glossary.keys()] for source in sources]
    found = {}
    for name, request in (("without", Request()), ("with", Request(glossary=tuple(glossary.items())))):
        texts = [translation.text for translation in model.translator(request).translate(sources)]
        met = sum(target in text for text, targets in zip(texts, wanted, strict=True) for target in targets)
        found[name] = {"bleu": score(texts, references).bleu, "terms_met": met}
    required = sum(map(len, wanted))
    print(json.dumps({"sentences": len(sources), "glossary": len(glossary), "required": required, **found}))


def words(text: str) -> set[str]:
    """The words of a text that may be terms."""
    return {word for word in re.findall(r"\w+", text) if len(word) >= SHORTEST}


def agrees(glossary: dict[str, str], source: str, reference: str) -> bool:
    """Whether there is a term in the source, and the reference has what the glossary says for each."""
    terms = words(source) & glossary.keys()
    return bool(terms) and all(glossary[term] in words(reference) for term in terms)


def dictionary(sources: list[str], targets: list[str]) -> dict[str, str]:
    """Words and what stands in the translation where they stand in the source, and hardly elsewhere."""
    of_source, of_target, together = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for source, target in zip(sources, targets, strict=True):
        left, right = words(source), words(target)
        of_source.update(left)
        of_target.update(right)
        together.update((a, b) for a in left for b in right)
    dice = {
        pair: 2 * count / (of_source[pair[0]] + of_target[pair[1]])
        for pair, count in together.items()
        if count >= RAREST
    }
    best = {pair[0]: pair[1] for pair, value in sorted(dice.items(), key=lambda item: item[1]) if value >= LEAST_DICE}
    return dict(sorted(best.items()))


if __name__ == "__main__":
    main()
