"""A vocabulary of either kind: of this program's own training, or of a Marian model. One file holds each."""

from pathlib import Path

from pipelines.vocabulary.marian import MarianVocabulary, is_marian_file
from pipelines.vocabulary.tokenizer import Vocabulary

AnyVocabulary = Vocabulary | MarianVocabulary


def load_vocabulary(path: Path) -> AnyVocabulary:
    """Reads what `save` wrote.

    Raises:
        DataError: There is no such file, or it holds no vocabulary.
    """
    return MarianVocabulary.load(path) if is_marian_file(path) else Vocabulary.load(path)
