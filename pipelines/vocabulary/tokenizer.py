"""The vocabulary: a SentencePiece model, applied in the graph by tensorflow-text, in training and in serving."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import sentencepiece
import tensorflow as tf
import tensorflow_text
from tensorflow_text.python.ops import sentencepiece_tokenizer

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.vocabulary.training import BOS, EOS, PAD, UNK, check_model, is_word_model, train_model
from keras_nmt.pipelines.vocabulary.words import LINE_END, SPACES, processor_of

__all__ = ["BOS", "EOS", "PAD", "UNK", "Vocabulary", "before_end", "named_tokenizer", "train_vocabulary"]


class _NamedModel(tf.saved_model.experimental.TrackableResource):
    """A SentencePiece model as a TensorFlow resource whose name is the digest of the model.

    tensorflow-text creates the resource without a name. Such a resource belongs to the kernel that created it, and is
    lost when TensorFlow drops its cached kernels, for example in `tf.random.set_seed`. After that, every tokeniser that
    was created earlier fails.
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
    """Converts text to ids and back, in eager code, `tf.function` and SavedModel."""

    def __init__(self, model_proto: bytes) -> None:
        super().__init__(name="vocabulary")
        self.model = model_proto
        self.digest: str = hashlib.sha256(model_proto).hexdigest()
        # Attributes of a tf.Module are tracked, so a SavedModel includes the model.
        self.tokenizer = named_tokenizer(model_proto, tf.int32)
        self.size = int(self.tokenizer.vocab_size())
        self.is_of_words = is_word_model(model_proto)

    @classmethod
    def load(cls, path: str | Path) -> "Vocabulary":
        """Loads the file that `save` wrote.

        Raises:
            DataError: The file does not exist or is not a SentencePiece model of this program.
        """
        path = Path(path)
        try:
            model_proto = path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read the vocabulary {path}: {error.strerror or error}") from error
        check_model(model_proto, path)
        return cls(model_proto)

    def save(self, path: str | Path) -> None:
        """Writes the SentencePiece model."""
        Path(path).write_bytes(self.model)

    def encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Encodes texts, without BOS and EOS.

        Args:
            texts: string [N], UTF-8; malformed bytes are read as U+FFFD.

        Returns:
            int32 [N, (L)]; only a vocabulary of words has UNK, for unknown words. Text of only whitespace and control
            characters has no ids.
        """
        if not self.is_of_words:
            return self.tokenizer.tokenize(texts)
        spaced = tf.strings.regex_replace(tf.strings.regex_replace(texts, f"[{SPACES}]", " "), "\n", f" {LINE_END} ")
        words = tf.strings.split(spaced, " ")
        words = tf.ragged.boolean_mask(words, words != "")
        return words.with_values(self.tokenizer.tokenize(words.values).values)

    def encode_target(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Encodes target texts. This is the same as `encode`, since both languages share one model."""
        return self.encode(texts)

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Decodes rows of ids.

        Args:
            ids: int32 [N, L]; PAD and BOS are ignored, and so is everything from the first EOS on.

        Returns:
            string [N], the texts in the normalised form that the vocabulary uses, with single spaces.
        """
        is_text = before_end(ids) & (ids != PAD) & (ids != BOS)
        texts = self.tokenizer.detokenize(tf.ragged.boolean_mask(ids, is_text))
        return tf.strings.regex_replace(texts, "^ ", "") if self.is_of_words else texts  # as `WordProcessor.decode`

    def spell(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the piece of each id, string of the same shape: "" for PAD, "</s>" for EOS."""
        return tf.where(ids == PAD, "", self.tokenizer.id_to_string(ids))

    def encode_in_python(self, texts: Sequence[str]) -> list[list[int]]:
        """Encodes texts as `encode` does, but without TensorFlow.

        Fast translation engines use this method, because one TensorFlow op takes as long as their whole search.
        """
        # One text at a time: given a list, SentencePiece starts threads.
        found: list[list[int]] = [self.processor.encode(text) for text in texts]
        return found

    def decode_in_python(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Decodes rows of ids without TensorFlow. PAD and BOS are ignored; the rows must not contain EOS."""
        found: list[str] = [self.processor.decode([i for i in row if i not in (PAD, BOS)]) for row in rows]
        return found

    @cached_property
    def processor(self) -> sentencepiece.SentencePieceProcessor:
        """The SentencePiece model for use without TensorFlow."""
        return processor_of(self.model)

    def pieces(self) -> list[str]:
        """Returns all pieces in order of their ids."""
        return [self.processor.id_to_piece(i) for i in range(self.size)]


def named_tokenizer(model_proto: bytes, out_type: tf.DType) -> tensorflow_text.SentencepieceTokenizer:
    """Creates a tokeniser that lives as long as the program or SavedModel; `out_type` is tf.int32 or tf.string."""
    tokenizer = tensorflow_text.SentencepieceTokenizer(model=model_proto, out_type=out_type)
    tokenizer._model_resource = _NamedModel(model_proto, hashlib.sha256(model_proto).hexdigest())
    tokenizer.vocab_size()  # creates the resource here; otherwise the first graph would own it
    return tokenizer


def before_end(ids: tf.Tensor) -> tf.Tensor:
    """Returns a mask of the ids before the first EOS of their row, bool [N, L]."""
    return tf.cumsum(tf.cast(ids == EOS, tf.int32), axis=1) == 0


def train_vocabulary(sentences: Iterable[str], size: int) -> Vocabulary:
    """Trains a vocabulary of `size` pieces; see `train_model`."""
    return Vocabulary(train_model(sentences, size))
