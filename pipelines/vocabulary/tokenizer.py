"""The vocabulary: a SentencePiece model, applied in the graph by tensorflow-text in training and serving alike."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import sentencepiece
import tensorflow as tf
import tensorflow_text
from tensorflow_text.python.ops import sentencepiece_tokenizer

from pipelines.errors import DataError
from pipelines.vocabulary.training import BOS, EOS, PAD, UNK, check_model, train_model

__all__ = ["BOS", "EOS", "PAD", "UNK", "Vocabulary", "before_end", "named_tokenizer", "train_vocabulary"]


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
        check_model(model_proto, path)
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
            string [N], normalised as the vocabulary says, with single spaces.
        """
        is_text = before_end(ids) & (ids != PAD) & (ids != BOS)
        return self.tokenizer.detokenize(tf.ragged.boolean_mask(ids, is_text))

    def spell(self, ids: tf.Tensor) -> tf.Tensor:
        """Gives the piece of each id: int32 of any shape -> string of the same; "" for PAD, "</s>" for EOS."""
        return tf.where(ids == PAD, "", self.tokenizer.id_to_string(ids))

    def encode_outside(self, texts: Sequence[str]) -> list[list[int]]:
        """Gives what `encode` gives, without TensorFlow: for an engine whose search takes no longer than an op."""
        found: list[list[int]] = [self.processor.encode(text) for text in texts]  # of a list it would start threads
        return found

    def decode_outside(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Gives what `decode` gives for rows without EOS, without TensorFlow."""
        found: list[str] = [self.processor.decode([i for i in row if i not in (PAD, BOS)]) for row in rows]
        return found

    @cached_property
    def processor(self) -> sentencepiece.SentencePieceProcessor:
        """The model outside a graph."""
        return sentencepiece.SentencePieceProcessor(model_proto=self.model)

    def pieces(self) -> list[str]:
        """Gives the piece of each id, in order."""
        return [self.processor.id_to_piece(i) for i in range(self.size)]


def named_tokenizer(model_proto: bytes, out_type: tf.DType) -> tensorflow_text.SentencepieceTokenizer:
    """A tokeniser of `out_type` (tf.int32 or tf.string) that lives as long as the program, or the SavedModel."""
    tokenizer = tensorflow_text.SentencepieceTokenizer(model=model_proto, out_type=out_type)
    tokenizer._model_resource = _NamedModel(model_proto, hashlib.sha256(model_proto).hexdigest())
    tokenizer.vocab_size()  # makes the resource here; else the first graph would, and take it along
    return tokenizer


def before_end(ids: tf.Tensor) -> tf.Tensor:
    """Which ids come before the first EOS of their row: bool in the shape of `ids` [N, L]."""
    return tf.cumsum(tf.cast(ids == EOS, tf.int32), axis=1) == 0


def train_vocabulary(sentences: Iterable[str], size: int, *, tags: Sequence[str] = ()) -> Vocabulary:
    """Gives a vocabulary of `size` pieces, as `train_model` does."""
    return Vocabulary(train_model(sentences, size, tags=tags))
