"""Loads a vocabulary that this program trained, or one that was imported from a Marian model."""

from pathlib import Path

from keras_nmt.pipelines.vocabulary.marian import MarianVocabulary, is_marian_file
from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary

AnyVocabulary = Vocabulary | MarianVocabulary


def load_vocabulary(path: Path) -> AnyVocabulary:
    """Loads a file that `Vocabulary.save` or `MarianVocabulary.save` wrote.

    Raises:
        DataError: The file does not exist or is not a vocabulary.
    """
    return MarianVocabulary.load(path) if is_marian_file(path) else Vocabulary.load(path)
