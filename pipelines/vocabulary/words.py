"""Vocabularies of words, for language models that are compared by their perplexity with others of the same vocabulary.

They are SentencePiece models of the type `word`. Each word between spaces is one token, and so is each line end; all
other words are UNK, which is decoded as `<unk>`. Decoded text has single spaces between words, and none beside line
ends or before the first word; else it is what was encoded, except for unknown words.

SentencePiece joins successive unknown words into one UNK, so text is divided into words before it is encoded: here in
Python (`processor_of`), and in the graph by `tokenizer.Vocabulary`.
"""

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.vocabulary.exact import MARKS, fill_up, marks_model
from keras_nmt.pipelines.vocabulary.training import UNK, WORD_START, is_word_model

UNKNOWN = MARKS[UNK]
LEAST_COUNT = 4  # rarer words are UNK, as in Bengio et al. 2003, so that UNK occurs in the training text

LINE_END = "\x1e"  # stands for a line end where text is divided at whitespace: a separator that is no word
SPACES = "".join(chr(i) for i in range(1, sys.maxunicode) if chr(i).isspace() and chr(i) != "\n") + WORD_START

_NORMALIZATION = {**dict.fromkeys(SPACES.replace(" ", ""), " "), "\n": " \n ", LINE_END: " \n "}
_WORDS_AND_LINE_ENDS = re.compile(f"\n|[^\n{SPACES}]+")
_DENORMALIZATION = dict.fromkeys((" \n ", " \n", "\n "), "\n")


def frequent_words(texts: Iterable[str], vocabulary_size: int | None = None) -> list[str]:
    """Returns the words of some texts, the most frequent first; those with equal counts by code point.

    Args:
        texts: The texts.
        vocabulary_size: The size of the vocabulary that the words must fit in; None for the words that occur at least
            `LEAST_COUNT` times.

    Raises:
        DataError: The size is too small for any word, or no word is frequent enough.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(words_of(text))
    del counts[UNKNOWN]
    least = LEAST_COUNT if vocabulary_size is None else 1
    found = sorted((word for word in counts if counts[word] >= least), key=lambda word: (-counts[word], word))
    room = len(found) if vocabulary_size is None else vocabulary_size - len(MARKS) - 1
    if not found:
        raise DataError(f"no word occurs {least} times or more; use more text, or give --vocabulary-size")
    if room < 1:
        raise DataError(f"{vocabulary_size} pieces do not hold any word; use --vocabulary-size 8 or more")
    return found[:room]


def read_words(path: Path) -> list[str]:
    """Reads a list of words, one a line. Blank lines and `<unk>` are skipped.

    Raises:
        DataError: The file cannot be read, has no word, or a line has several.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the words of {path}: {getattr(error, 'strerror', None) or error}") from error
    words = []
    for number, line in enumerate(lines, start=1):
        parts = words_of(line)
        if len(parts) > 1:
            raise DataError(f"{path} line {number} has {len(parts)} words; expected one word a line")
        words += parts
    found = [word for word in dict.fromkeys(words) if word != UNKNOWN]
    if not found:
        raise DataError(f"{path} has no words; expected one word a line")
    return found


class WordProcessor(sentencepiece.SentencePieceProcessor):
    """A SentencePiece model of words that gives each unknown word its own UNK, and decodes no space before the first.

    SentencePiece leaves out the space before a word at the beginning of a text, but not the one before UNK.
    """

    def encode(self, text: str | list[str], **_: Any) -> Any:  # type: ignore[override]  # no other options are used
        """Returns the tokens of a text, one for each word and each line end, or those of each text of a list."""
        if not isinstance(text, str):
            return [self.encode(one) for one in text]
        return self.piece_to_id([WORD_START + word for word in _WORDS_AND_LINE_ENDS.findall(text)])

    def decode(self, ids: list[int], **_: Any) -> str:  # type: ignore[override]  # no other options are used
        """Returns the text of tokens."""
        text: str = super().decode(ids)
        return text.removeprefix(" ")


def processor_of(model_proto: bytes) -> sentencepiece.SentencePieceProcessor:
    """Returns the processor of a model of any type."""
    is_of_words = is_word_model(model_proto)
    return (WordProcessor if is_of_words else sentencepiece.SentencePieceProcessor)(model_proto=model_proto)


def words_of(text: str) -> list[str]:
    """Returns the words of a text. Any whitespace divides words, and SentencePiece's sign for a space does too."""
    return text.replace(WORD_START, " ").split()


def word_model(words: Sequence[str]) -> bytes:
    """Returns a serialised SentencePiece model with the marks, the line end and some words as pieces.

    Its size is the next multiple of 8; the further pieces occur in no text.
    """
    model = marks_model()
    for word in ("\n", *words):
        model.pieces.add(piece=WORD_START + word, type=ModelProto.SentencePiece.NORMAL)
    fill_up(model)
    trainer, rules = model.trainer_spec, _rules()
    trainer.model_type, trainer.unk_surface = trainer.WORD, f" {UNKNOWN}"
    model.normalizer_spec.CopyFrom(rules.normalizer_spec)
    model.denormalizer_spec.CopyFrom(rules.denormalizer_spec)
    serialized: bytes = model.SerializeToString(deterministic=True)
    return serialized


@cache
def _rules() -> ModelProto:
    """Returns a model that has the rules of whitespace; only SentencePiece's trainer can compile rules."""
    with tempfile.TemporaryDirectory(prefix="nmt-words-") as folder:
        files: dict[str, Any] = {}
        for name, rules in (("normalization", _NORMALIZATION), ("denormalization", _DENORMALIZATION)):
            path = files[f"{name}_rule_tsv"] = Path(folder) / f"{name}.tsv"
            path.write_text("".join(f"{_hexadecimal(a)}\t{_hexadecimal(b)}\n" for a, b in sorted(rules.items())))
        trained = Path(folder) / "rules"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a"]), model_prefix=trained, model_type="word", vocab_size=4, minloglevel=2, **files
        )
        model = ModelProto.FromString(trained.with_suffix(".model").read_bytes())
    for spec, name in ((model.normalizer_spec, "identity"), (model.denormalizer_spec, "")):
        spec.name = name
        spec.ClearField("normalization_rule_tsv")
    return model


def _hexadecimal(text: str) -> str:
    return " ".join(f"{ord(character):X}" for character in text)
