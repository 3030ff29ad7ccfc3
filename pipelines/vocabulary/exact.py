"""Vocabularies of characters and bytes, for language models. Text is decoded to exactly what was encoded.

They are SentencePiece models of the type `char`, which are written here without training. Each piece is one character;
a space is the piece " " and not SentencePiece's usual sign for it. All other characters are spelt in bytes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from sentencepiece.sentencepiece_model_pb2 import ModelProto

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.vocabulary.normalization import NO_RULES
from keras_nmt.pipelines.vocabulary.training import BOS, EOS, PAD, UNK, WORD_START

UNITS = ("pieces", "characters", "bytes", "words")
PIECES, CHARACTERS, BYTES, WORDS = UNITS

_MULTIPLE = 8  # matrix units (tensor cores) are fastest with sizes that are multiples of 8
_TYPES = ModelProto.SentencePiece
MARKS = {PAD: "<pad>", UNK: "<unk>", BOS: "<s>", EOS: "</s>"}


def most_frequent_characters(texts: Iterable[str], vocabulary_size: int | None = None) -> list[str]:
    """Returns the distinct characters of some texts, the most frequent first; those with equal counts by code point.

    Args:
        texts: The texts.
        vocabulary_size: The size of the vocabulary that the characters must fit in; None for all characters.

    Raises:
        DataError: The size is too small for any character.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    # SentencePiece decodes its sign for a space as a space, unless it is spelt in bytes.
    del counts[WORD_START]
    found = sorted(counts, key=lambda character: (-counts[character], character))
    if vocabulary_size is None:
        return found
    room = vocabulary_size - len(MARKS) - 256
    if room < 1:
        raise DataError(
            f"{vocabulary_size} pieces do not hold 256 bytes and characters; use --vocabulary-size 264 or more"
        )
    return found[:room]


def exact_model(characters: Sequence[str]) -> bytes:
    """Returns a serialised SentencePiece model with the marks, the 256 bytes and some characters as pieces.

    Its size is the next multiple of 8; the further pieces occur in no text.
    """
    model = marks_model()
    for byte in range(256):
        model.pieces.add(piece=f"<0x{byte:02X}>", type=_TYPES.BYTE)
    for character in characters:
        model.pieces.add(piece=character, type=_TYPES.NORMAL)
    fill_up(model)
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    trainer.model_type, trainer.byte_fallback = trainer.CHAR, True
    normalizer.name, normalizer.precompiled_charsmap = "identity", NO_RULES
    normalizer.add_dummy_prefix = normalizer.remove_extra_whitespaces = normalizer.escape_whitespaces = False
    serialized: bytes = model.SerializeToString(deterministic=True)
    return serialized


def marks_model() -> ModelProto:
    """Returns a model whose only pieces are PAD, UNK, BOS and EOS."""
    model = ModelProto()
    for name in MARKS.values():
        model.pieces.add(piece=name, type=_TYPES.UNKNOWN if name == MARKS[UNK] else _TYPES.CONTROL)
    trainer = model.trainer_spec
    trainer.pad_id, trainer.unk_id, trainer.bos_id, trainer.eos_id = PAD, UNK, BOS, EOS
    return model


def fill_up(model: ModelProto) -> None:
    """Adds pieces that occur in no text, so that the number of pieces is a multiple of 8, and stores the number."""
    for number in range(-len(model.pieces) % _MULTIPLE):
        model.pieces.add(piece=f"<unused{number}>", type=_TYPES.CONTROL)
    model.trainer_spec.vocab_size = len(model.pieces)
