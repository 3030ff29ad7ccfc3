"""Trains and checks SentencePiece models without TensorFlow; the module `tokenizer` applies them in TensorFlow graphs.

One unigram model serves both languages (Kudo 2018). The paper uses byte-pair encoding instead (section 5.1); a unigram
model is as good and faster to train. Characters that are not in the vocabulary are encoded as bytes, so no text becomes
UNK.
"""

import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto, TrainerSpec

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.vocabulary.normalization import DEFAULT, trainer_options, with_normalization_name
from keras_nmt.pipelines.vocabulary.training_text import trainer_lines

PAD, UNK, BOS, EOS = 0, 1, 2, 3
WORD_START = "\u2581"  # represents the space before a word

_BYTES_AND_MARKS = 256 + 4  # pieces that every vocabulary has: bytes, and PAD, UNK, BOS, EOS
_LINE_AND_TAB = ("\n", "\t")  # as symbols of the user, they are kept by every normalisation
_KEEPS_WHITESPACE: dict[str, Any] = {
    "add_dummy_prefix": False,
    "remove_extra_whitespaces": False,
    "required_chars": WORD_START,  # spelt in bytes, it would be decoded as the character itself
}
_TRAINING_THREADS = 16  # fixed, since the result depends on it; harmless if there are fewer cores


class ImpossibleSizeError(DataError):
    """The error raised if a vocabulary size is impossible for a text.

    `nearest` is a size to try instead: of the multiples of 8 that may be possible, the one that is closest to the given
    size.
    """

    def __init__(self, message: str, nearest: int) -> None:
        super().__init__(message)
        self.nearest = nearest


def train_model(
    sentences: Iterable[str],
    size: int,
    *,
    tags: Sequence[str] = (),
    symbols: Sequence[str] = (),
    normalization: str = DEFAULT,
    keeps_whitespace: bool = False,
) -> bytes:
    """Trains a model and returns it serialised. The same arguments give the same model.

    Args:
        sentences: The sentences of both languages, which are read once and held in memory. A million sentences are
            plenty.
        size: The number of pieces. It must be a multiple of 8, because matrix units (tensor cores) are fastest then.
        tags: The words, such as `<2fr>`, that become one piece each.
        symbols: The control pieces, which have ids, but which no text is encoded to.
        normalization: One of `NORMALIZATIONS`. The model stores it, and applies it to all text.
        keeps_whitespace: True to encode all whitespace as it is, and to encode nothing else: no space before the text.

    Raises:
        DataError: `size` is not a multiple of 8, or there is no text.
        ImpossibleSizeError: The text is too small for so many pieces, or has too many characters.
    """
    if size % 8 or size <= 0:
        raise DataError(
            f"vocabulary size {size} is not a multiple of 8; use --vocabulary-size {max(8, -(-size // 8) * 8)}"
        )
    model = io.BytesIO()
    try:
        with trainer_options(normalization) as options:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=trainer_lines(sentences),
                model_writer=model,
                model_type="unigram",
                vocab_size=size,
                byte_fallback=True,
                character_coverage=0.9999,  # rarer characters are spelt in bytes
                pad_id=PAD,
                unk_id=UNK,
                bos_id=BOS,
                eos_id=EOS,
                user_defined_symbols=[
                    *(WORD_START + tag for tag in tags),
                    *(_LINE_AND_TAB if keeps_whitespace else ()),
                ],
                control_symbols=list(symbols),
                num_threads=_TRAINING_THREADS,
                minloglevel=2,
                **(_KEEPS_WHITESPACE if keeps_whitespace else {}),
                **options,
            )
    except RuntimeError as error:
        raise _impossible_size(size, str(error)) from error
    return with_normalization_name(model.getvalue(), normalization)


def check_model(model_proto: bytes, path: Path, *, tags: Sequence[str] = ()) -> None:
    """Raises a `DataError` if a file is not a SentencePiece model of this program, or has no piece for a tag.

    Args:
        model_proto: The serialised model.
        path: The path of the file, for the message.
        tags: The tags that the data needs.
    """
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model_proto)
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{path} is not a SentencePiece model or is damaged; prepare the data again") from error
    marks = (processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id())
    if marks != (PAD, UNK, BOS, EOS):
        raise DataError(
            f"{path} has pad, unk, bos, eos at {marks}, expected {(PAD, UNK, BOS, EOS)}; use one of nmt prepare"
        )
    for tag in tags:
        if UNK == processor.piece_to_id(WORD_START + tag) == processor.piece_to_id(tag):
            raise DataError(f"{path} has no piece {tag}, which this data needs; train a vocabulary on it")
    if not is_word_model(model_proto) and not processor.is_byte(processor.piece_to_id("<0x00>")):
        raise DataError(f"{path} has no byte fallback, so some text would be unknown; use one of nmt prepare")


def is_word_model(model_proto: bytes) -> bool:
    """Returns True for a model of words, whose unknown words are UNK."""
    kind: int = ModelProto.FromString(model_proto).trainer_spec.model_type
    return kind == TrainerSpec.WORD


def _impossible_size(size: int, message: str) -> Exception:
    """Converts SentencePiece's message about an impossible size to an exception that tells the user what to do."""
    if found := re.search(r"Vocabulary size too high .* value <= (\d+)", message):
        largest = int(found[1]) // 8 * 8
        return ImpossibleSizeError(
            f"the text is too small for {size} pieces; use --vocabulary-size {largest} or less, or more text", largest
        )
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        least = -(-int(found[1]) // 8) * 8
        return ImpossibleSizeError(
            f"the text has too many characters for {size} pieces; use --vocabulary-size {least} or more", least
        )
    if size < _BYTES_AND_MARKS:
        least = -(-_BYTES_AND_MARKS // 8) * 8
        return ImpossibleSizeError(
            f"{size} pieces do not hold the 256 bytes; use --vocabulary-size {least} or more", least
        )
    if "sentences_.empty()" in message or "all_chars_count" in message:
        return DataError("there is no text to train a vocabulary on; expected at least one sentence that is not empty")
    return RuntimeError(message)
