"""The vocabulary: trained with SentencePiece, applied in the graph by tensorflow-text, one artefact for both.

A unigram model for both languages together (Kudo 2018), where the paper has byte-pair encoding (section 5.1): it is as
good and its training is faster. Characters it has never seen are spelt in bytes, so nothing is ever unknown.
"""

import hashlib
import io
import random
import re
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
import tensorflow as tf
import tensorflow_text
from tensorflow_text.python.ops import sentencepiece_tokenizer

from pipelines.errors import DataError

PAD, UNK, BOS, EOS = 0, 1, 2, 3

_BYTES_AND_MARKS = 256 + 4  # the pieces that every vocabulary has
_TRAINING_THREADS = 16  # fixed, as the sums of training depend on it; more than the cores there are does no harm


class _NamedModel(tf.saved_model.experimental.TrackableResource):
    """A SentencePiece model that TensorFlow keeps under the name of its digest.

    tensorflow-text gives it no name. Such a model belongs to the kernel that made it and vanishes when TensorFlow drops
    its cached kernels, as `tf.random.set_seed` makes it do; every tokeniser made before then fails.
    """

    def __init__(self, model_proto: bytes, digest: str) -> None:
        super().__init__()
        self.model_proto = model_proto
        self.digest = digest

    def _create_resource(self) -> tf.Tensor:
        name = f"sentencepiece_{self.digest}"
        return sentencepiece_tokenizer.gen_sentencepiece_tokenizer.sentencepiece_op(
            model=self.model_proto, shared_name=name
        )


class Vocabulary(tf.Module):
    """Text to ids and back, in eager code, `tf.function` and SavedModel alike."""

    def __init__(self, model_proto: bytes) -> None:
        super().__init__(name="vocabulary")
        self.model = model_proto
        self.digest: str = hashlib.sha256(model_proto).hexdigest()
        # An attribute of a tf.Module is tracked, so a SavedModel takes the model with it.
        self.tokenizer = named_tokenizer(model_proto, tf.int32)
        self.size = int(self.tokenizer.vocab_size())

    @classmethod
    def load(cls, path: str | Path) -> "Vocabulary":
        """Reads what `save` wrote.

        Raises:
            DataError: if there is no such file or it is not a SentencePiece model of this program.
        """
        path = Path(path)
        try:
            model_proto = path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read the vocabulary {path}: {error.strerror or error}") from error
        _check_model(model_proto, path)
        return cls(model_proto)

    def save(self, path: str | Path) -> None:
        """Writes the SentencePiece model, byte for byte."""
        Path(path).write_bytes(self.model)

    def encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Gives the ids of each text, without BOS and EOS.

        Args:
            texts: string [N], UTF-8; a malformed byte is read as U+FFFD.

        Returns:
            int32 [N, (L)]; never UNK. Text of only whitespace and control characters has no ids.
        """
        return self.tokenizer.tokenize(texts)

    def encode_target(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Gives the ids of each text of the other language: what `encode` gives, as both share one model."""
        return self.encode(texts)

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Gives the text of each row up to its first EOS.

        Args:
            ids: int32 [N, L]; PAD and BOS are ignored, as is everything from the first EOS on.

        Returns:
            string [N], normalised (NFKC, single spaces).
        """
        is_text = before_end(ids) & (ids != PAD) & (ids != BOS)
        return self.tokenizer.detokenize(tf.ragged.boolean_mask(ids, is_text))

    def spell(self, ids: tf.Tensor) -> tf.Tensor:
        """Gives the piece of each id: int32 of any shape -> string of the same; "" for PAD, "</s>" for EOS."""
        return tf.where(ids == PAD, "", self.tokenizer.id_to_string(ids))

    def pieces(self) -> list[str]:
        """Gives the piece of each id, in order."""
        processor = sentencepiece.SentencePieceProcessor(model_proto=self.model)
        return [processor.id_to_piece(i) for i in range(self.size)]


def named_tokenizer(model_proto: bytes, out_type: tf.DType) -> tensorflow_text.SentencepieceTokenizer:
    """A tokeniser of `out_type` (tf.int32 or tf.string) that lives as long as the program, or the SavedModel."""
    tokenizer = tensorflow_text.SentencepieceTokenizer(model=model_proto, out_type=out_type)
    tokenizer._model_resource = _NamedModel(model_proto, hashlib.sha256(model_proto).hexdigest())
    tokenizer.vocab_size()  # makes the resource here; else the first graph would, and take it along
    return tokenizer


def before_end(ids: tf.Tensor) -> tf.Tensor:
    """Which ids come before the first EOS of their row: bool in the shape of `ids` [N, L]."""
    return tf.cumsum(tf.cast(ids == EOS, tf.int32), axis=1) == 0


def train_vocabulary(
    sentences: Iterable[str], size: int, *, seed: int = 0, sample_sentences: int = 1_000_000
) -> Vocabulary:
    """Gives a vocabulary of `size` pieces; the same sentences and seed give the same one.

    Args:
        sentences: of both languages, read once.
        size: number of pieces, a multiple of 8 (matrix units like it).
        seed: for the choice of sentences when there are more than `sample_sentences`.
        sample_sentences: so many are held in memory and learnt from.

    Raises:
        DataError: if `size` is no multiple of 8, or the text cannot give so many pieces or needs more.
    """
    if size % 8 or size <= 0:
        raise DataError(
            f"vocabulary size {size} is not a multiple of 8; use --vocabulary-size {max(8, -(-size // 8) * 8)}"
        )
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(_sample(sentences, sample_sentences, seed)),
            model_writer=model,
            model_type="unigram",
            vocab_size=size,
            byte_fallback=True,
            character_coverage=0.9999,  # rarer characters are spelt in bytes
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            num_threads=_TRAINING_THREADS,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _impossible_size(size, str(error)) from error
    return Vocabulary(model.getvalue())


def _sample(sentences: Iterable[str], size: int, seed: int) -> list[str]:
    """Chooses evenly from a stream of unknown length (reservoir sampling); SentencePiece's own choice has no seed."""
    chosen: list[str] = []
    draw = random.Random(seed).random
    for number, sentence in enumerate(sentences):
        if number < size:
            chosen.append(sentence)
        elif (place := int(draw() * (number + 1))) < size:
            chosen[place] = sentence
    return chosen


def _impossible_size(size: int, message: str) -> Exception:
    """Turns what SentencePiece says about a size it cannot reach into what to do."""
    if found := re.search(r"Vocabulary size too high .* value <= (\d+)", message):
        largest = int(found[1]) // 8 * 8
        return DataError(
            f"the text is too small for {size} pieces; use --vocabulary-size {largest} or less, or more text"
        )
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        least = -(-int(found[1]) // 8) * 8
        return DataError(f"the text has too many characters for {size} pieces; use --vocabulary-size {least} or more")
    if size < _BYTES_AND_MARKS:
        least = -(-_BYTES_AND_MARKS // 8) * 8
        return DataError(f"{size} pieces do not hold the 256 bytes; use --vocabulary-size {least} or more")
    if "sentences_.empty()" in message:
        return DataError("there is no text to train a vocabulary on; expected at least one sentence that is not empty")
    return RuntimeError(message)


def _check_model(model_proto: bytes, path: Path) -> None:
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
    if not processor.is_byte(processor.piece_to_id("<0x00>")):
        raise DataError(f"{path} has no byte fallback, so some text would be unknown; use one of nmt prepare")
