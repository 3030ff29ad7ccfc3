"""The vocabulary of a Marian model: one SentencePiece model per language, and one table of pieces for both languages.

Each language is segmented by its own model, and vocab.json maps the pieces of both languages to ids (Tiedemann and
Thottingal 2020, OPUS-MT; `MarianTokenizer` of Hugging Face). The ids are renumbered for this program: PAD, UNK, BOS and
EOS come first, then the other pieces in the order of vocab.json. Marian has no BOS, and its decoder starts with <pad>.
So this program gives <pad> two ids, PAD and BOS.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import tensorflow as tf

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD, UNK, before_end, named_tokenizer

TABLE, SOURCE, TARGET = "vocab.json", "source.spm", "target.spm"
FILES = (TABLE, SOURCE, TARGET)
PAD_PIECE, UNK_PIECE, EOS_PIECE = "<pad>", "<unk>", "</s>"
BOS_PIECE = "<decoder start>"  # cannot collide: pieces contain no spaces

_LANGUAGE_CODE = r"^\s*(>>[^<>\s]+<<)"
_REST = r"\C*$"  # any bytes, including malformed UTF-8


class MarianVocabulary(tf.Module):
    """Converts text to ids and back, in eager code, `tf.function` and SavedModel; has the interface of `Vocabulary`.

    Attributes:
        model: A zip archive of vocab.json, source.spm and target.spm.
        digest: The SHA-256 of `model`.
        size: The number of pieces, which is one more than in vocab.json, since BOS is added.
        marian_ids: int [V], for each id of this program, the id of the same piece in vocab.json.
    """

    def __init__(self, model: bytes) -> None:
        super().__init__(name="vocabulary")
        self.model = model
        self.digest: str = hashlib.sha256(model).hexdigest()
        files = _unpacked(model)
        pieces, marian_ids = _ordered(_table(files[TABLE]))
        self.marian_ids = np.array(marian_ids)
        self.size = len(pieces)
        self.source_tokenizer, self.target_tokenizer = (
            named_tokenizer(_checked(files[name], name), tf.string) for name in (SOURCE, TARGET)
        )
        self.spellings = tf.constant(pieces)
        ordinary = tf.range(EOS + 1, self.size)  # text cannot contain PAD, BOS or EOS
        entries = tf.lookup.KeyValueTensorInitializer(tf.gather(self.spellings, ordinary), ordinary)
        self.ids = tf.lookup.StaticHashTable(entries, default_value=UNK)

    @classmethod
    def of_files(cls, files: Mapping[str, bytes]) -> "MarianVocabulary":
        """Creates a vocabulary from the contents of `FILES`.

        Raises:
            DataError: A file is damaged or incomplete. The message names the file.
        """
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name in FILES:
                # `ZipInfo` has a fixed date, so the same files give the same bytes.
                archive.writestr(zipfile.ZipInfo(name), files[name], zipfile.ZIP_DEFLATED)
        return cls(packed.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> "MarianVocabulary":
        """Loads the file that `save` wrote.

        Raises:
            DataError: The file does not exist or is damaged.
        """
        try:
            return cls(Path(path).read_bytes())
        except OSError as error:
            raise DataError(f"cannot read the vocabulary {path}: {error.strerror or error}") from error
        except DataError as error:
            raise DataError(f"{path} is damaged ({error}); import the model again") from error

    def save(self, path: str | Path) -> None:
        """Writes the archive."""
        Path(path).write_bytes(self.model)

    def encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Encodes texts in the source language, without EOS.

        Args:
            texts: string [N], UTF-8; malformed bytes are read as U+FFFD. A text may begin with the code of a target
                language, such as >>fra<<. If vocab.json has the code, the code becomes the first token. Otherwise the
                code is encoded as text.

        Returns:
            int32 [N, (L)]; UNK for pieces that vocab.json lacks. If a text is empty or consists of only whitespace,
            possibly after a language code, it gets no ids.
        """
        code_ids = self.ids.lookup(tf.strings.regex_replace(texts, _LANGUAGE_CODE + _REST, r"\1"))
        has_code = tf.strings.regex_full_match(texts, _LANGUAGE_CODE + _REST) & (code_ids != UNK)
        texts = tf.where(has_code, tf.strings.regex_replace(texts, _LANGUAGE_CODE, "", replace_global=False), texts)
        tokens = self._encoded(self.source_tokenizer, texts)
        has_code &= tokens.row_lengths() > 0
        codes = tf.ragged.boolean_mask(code_ids[:, tf.newaxis], has_code[:, tf.newaxis])
        return tf.concat([codes, tokens], axis=1)

    def encode_target(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Encodes texts in the target language as int32 [N, (L)], without EOS."""
        return self._encoded(self.target_tokenizer, texts)

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Decodes rows of ids in the target language.

        Args:
            ids: int32 [N, L]; PAD, UNK and BOS are ignored, and so is everything from the first EOS on.

        Returns:
            string [N].
        """
        is_text = before_end(ids) & (ids > EOS)
        texts = self.target_tokenizer.detokenize(tf.ragged.boolean_mask(tf.gather(self.spellings, ids), is_text))
        # The target model does not know pieces that only the source model has, and leaves the ▁ in them.
        return tf.strings.strip(tf.strings.regex_replace(texts, "▁", " "))

    def spell(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the piece of each id, string of the same shape: "" for PAD, "</s>" for EOS."""
        return tf.where(ids == PAD, "", tf.gather(self.spellings, ids))

    def encode_in_python(self, texts: Sequence[str]) -> list[list[int]]:
        """Encodes texts as `encode` does, and returns lists."""
        found: list[list[int]] = self.encode(tf.constant(list(texts), tf.string)).to_list()
        return found

    def decode_in_python(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Decodes rows of ids as `decode` does, and returns a list. The rows must not contain EOS."""
        ids = tf.ragged.constant([list(row) for row in rows], tf.int32, ragged_rank=1).to_tensor(PAD)
        return [text.decode("utf-8", "replace") for text in self.decode(ids).numpy()]

    def pieces(self) -> list[str]:
        """Returns all pieces in order of their ids."""
        return [piece.decode() for piece in self.spellings.numpy()]

    def _encoded(self, tokenizer: Any, texts: tf.Tensor) -> tf.RaggedTensor:
        pieces = tokenizer.tokenize(texts)
        return pieces.with_flat_values(self.ids.lookup(pieces.flat_values))


def is_marian_file(path: Path) -> bool:
    """Returns True if the file exists and is a zip archive, which is the format of a Marian vocabulary."""
    return path.is_file() and zipfile.is_zipfile(path)


def _unpacked(model: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            return {name: archive.read(name) for name in FILES}
    except (zipfile.BadZipFile, KeyError, EOFError, ValueError) as error:
        raise DataError(f"not an archive of {', '.join(FILES)}: {error}") from error


def _table(content: bytes) -> dict[str, int]:
    """Parses vocab.json, and checks that its ids are 0, 1, 2, …"""
    try:
        table = json.loads(content)
    except ValueError as error:
        raise DataError(f"{TABLE} is not JSON: {error}") from error
    if not isinstance(table, dict) or sorted(map(str, table.values())) != sorted(map(str, range(len(table)))):
        raise DataError(f"{TABLE} is not a table of pieces whose ids are 0, 1, 2, … each once")
    missing = [piece for piece in (PAD_PIECE, UNK_PIECE, EOS_PIECE) if piece not in table]
    if missing:
        raise DataError(f"{TABLE} has no {missing[0]}")
    return {piece: int(i) for piece, i in table.items()}


def _ordered(table: Mapping[str, int]) -> tuple[list[str], list[int]]:
    """Returns the pieces in the order of this program's ids, and the id of each piece in `table`."""
    marks = {PAD: PAD_PIECE, UNK: UNK_PIECE, BOS: PAD_PIECE, EOS: EOS_PIECE}
    others = sorted(table.keys() - set(marks.values()), key=table.__getitem__)
    pieces = [*(marks[i] for i in range(len(marks))), *others]
    marian_ids = [table[piece] for piece in pieces]
    pieces[BOS] = BOS_PIECE
    return pieces, marian_ids


def _checked(model_proto: bytes, name: str) -> bytes:
    try:
        sentencepiece.SentencePieceProcessor().LoadFromSerializedProto(model_proto)
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{name} is not a SentencePiece model") from error
    return model_proto
