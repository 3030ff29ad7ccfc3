"""Translates texts of any length, sentence by sentence.

Line breaks and multiple spaces between sentences are kept. All other translated sentences are separated by a single
space, or by no space in languages such as Chinese. Other tasks read a text as a whole or line by line; what they read
at once is called a sentence too, and its output a translation.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

from keras_nmt.app.decoding.signatures import ALTERNATIVES, N_BEST, TRANSLATE
from keras_nmt.app.decoding.text.sentences import is_followed_by_space_in_python, stretches_in_python
from keras_nmt.app.server.engine.batching import Batcher, SignatureRow
from keras_nmt.app.server.engine.versions import Direction
from keras_nmt.app.server.errors import TooLargeError
from keras_nmt.app.tasks.task import Piece

MAX_SENTENCE_CHARACTERS = 2_000  # longer sentences are cut, and longer lines are refused
WORD_START = "▁"  # SentencePiece's mark of a space


@dataclass(frozen=True)
class Word:
    """A word of a translation. Spaces separate words. The confidence is the lowest probability of the word's tokens."""

    text: str
    confidence: float


@dataclass(frozen=True)
class Sentence:
    """One sentence and its translation.

    Attributes:
        source: Source sentence, without the white space around it.
        text: Translation; "" until the sentence is translated.
        score: Score of the translation in the beam search, as in `Translation.score`.
        confidence: Geometric mean of the probabilities of the translation's tokens.
        warnings: Names of the detected signs of a bad translation.
        words: Words of the translation; empty unless requested.
        alternatives: Further translations, best first.
        before: White space before the sentence.
        after: White space after the sentence.
    """

    source: str
    text: str = ""
    score: float = 0.0
    confidence: float = 1.0
    warnings: tuple[str, ...] = ()
    words: tuple[Word, ...] = ()
    alternatives: tuple[str, ...] = ()
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class TranslatedText:
    """A translated text as a sequence of sentences."""

    sentences: tuple[Sentence, ...] = field(default=())

    @property
    def text(self) -> str:
        """The whole translation."""
        return "".join(sentence.before + sentence.text + sentence.after for sentence in self.sentences)

    def alternative(self, number: int) -> str:
        """Returns an alternative translation of the whole text.

        Args:
            number: Index of the alternative in each sentence. A sentence with fewer alternatives uses its last
                alternative, or its translation if it has no alternatives.
        """
        parts = []
        for sentence in self.sentences:
            texts = [sentence.text, *sentence.alternatives]
            parts.append(sentence.before + texts[min(number + 1, len(texts) - 1)] + sentence.after)
        return "".join(parts)


def split_sentences(text: str) -> list[Sentence]:
    """Splits a text into sentences that are not translated yet.

    The sentences and the white space around them, joined, are the text. The exported graph would split the text at the
    same places, so the graph does not split these sentences again.
    """
    found: list[Sentence] = []
    for before, core, after in stretches_in_python(text):
        if found:  # the space between two sentences belongs to the first sentence
            found[-1] = replace(found[-1], after=found[-1].after + before)
        *pieces, last = pieces_of(core)
        found += [Sentence(piece.rstrip(), after=piece[len(piece.rstrip()) :]) for piece in pieces]
        found.append(Sentence(last, after=after))
        first = len(found) - 1 - len(pieces)
        found[first] = replace(found[first], before="" if first else before)
    return found


def pieces_of(sentence: str) -> list[str]:
    """Cuts a sentence into pieces of at most `MAX_SENTENCE_CHARACTERS` characters, after spaces where possible.

    A list or a text without punctuation may be a very long sentence. After a worker has started to translate a piece,
    the translation cannot be cancelled, so no piece may be as long as a whole document.
    """
    found, begin = [], 0
    while len(sentence) - begin > MAX_SENTENCE_CHARACTERS:
        cut = sentence.rfind(" ", begin + 1, begin + MAX_SENTENCE_CHARACTERS) + 1 or begin + MAX_SENTENCE_CHARACTERS
        found.append(sentence[begin:cut])
        begin = cut
    return [*found, sentence[begin:]]


def split_lines(text: str) -> list[Sentence]:
    """Splits a text into lines that are read separately. Their sentences, joined, are the text.

    Raises:
        TooLargeError: A line is longer than `MAX_SENTENCE_CHARACTERS`. Half of it would have another meaning.
    """
    found = [whole_text(line)[0] for line in text.splitlines(keepends=True)]
    longest = max((len(one.source) for one in found), default=0)
    if longest > MAX_SENTENCE_CHARACTERS:
        raise TooLargeError(f"a line has {longest} characters; at most {MAX_SENTENCE_CHARACTERS} can be read at once")
    return found


def whole_text(text: str) -> list[Sentence]:
    """Returns the text as one sentence. The model itself cuts off what it cannot read."""
    before = text[: len(text) - len(text.lstrip())]
    source = text.strip()
    return [Sentence(source, before=before, after=text[len(before) + len(source) :])]


Splitter = Callable[[str], list[Sentence]]
SPLITTERS: dict[Piece, Splitter] = {"sentence": split_sentences, "line": split_lines, "text": whole_text}


def respaced(sentences: Sequence[Sentence]) -> list[Sentence]:
    """Puts a space between translated sentences, or no space in languages such as Chinese and Japanese.

    Line breaks and multiple spaces between sentences are kept.
    """
    found = list(sentences)
    for number, sentence in enumerate(found[:-1]):
        if sentence.after in ("", " "):
            found[number] = replace(sentence, after=space_after(sentence))
    return found


def space_after(sentence: Sentence) -> str:
    """Returns the space between a translated sentence and the next one: " " or ""."""
    return " " if sentence.text and is_followed_by_space_in_python(sentence.text) else ""


async def translate(
    batcher: Batcher,
    direction: Direction,
    texts: Sequence[str],
    *,
    alternatives: int = 0,
    with_words: bool = False,
) -> list[TranslatedText]:
    """Translates texts by sentences, or by what else the model's task reads at once; all are queued together.

    Args:
        batcher: Batcher that runs the signatures.
        direction: Model version and language pair.
        texts: Texts of any length.
        alternatives: Number of alternative translations of each sentence.
        with_words: True to return the words of the translations with their confidences.
    """
    of_texts = [SPLITTERS[direction.task.piece](text) for text in texts]
    flat = [sentence for sentences in of_texts for sentence in sentences]
    translated = await translate_sentences(batcher, direction, flat, alternatives=alternatives, with_words=with_words)
    remaining = iter(translated)
    return [TranslatedText(tuple(respaced([next(remaining) for _ in sentences]))) for sentences in of_texts]


async def stream(
    batcher: Batcher, direction: Direction, text: str, *, with_words: bool = False
) -> AsyncIterator[tuple[int, Sentence]]:
    """Yields pairs of the index of a sentence and the sentence, each pair as soon as the sentence is translated.

    A later sentence may be yielded before an earlier one.
    """
    sentences = SPLITTERS[direction.task.piece](text)
    semaphore = asyncio.Semaphore(batcher.max_per_request)

    async def translate_one(number: int, sentence: Sentence) -> tuple[int, Sentence]:
        async with semaphore:
            (found,) = await translate_sentences(batcher, direction, [sentence], with_words=with_words)
        return number, respaced([found, *sentences[number + 1 : number + 2]])[0]

    tasks = [asyncio.ensure_future(translate_one(i, sentence)) for i, sentence in enumerate(sentences)]
    try:
        for completed in asyncio.as_completed(tasks):
            yield await completed
    finally:
        for task in tasks:
            task.cancel()


async def translate_sentences(
    batcher: Batcher,
    direction: Direction,
    sentences: Sequence[Sentence],
    *,
    alternatives: int = 0,
    with_words: bool = False,
) -> list[Sentence]:
    """Returns the sentences with their translations, in the same order. Empty sentences are returned unchanged."""
    real = [i for i, sentence in enumerate(sentences) if sentence.source]
    rows = [{"texts": direction.encoded(sentences[i].source)} for i in real]
    signature, settings = TRANSLATE, {}
    if alternatives > 0 or with_words:
        signature = N_BEST
        settings = {"beam_size": max(int(direction.version.defaults_of(N_BEST)["beam_size"]), alternatives + 1)}
    answers = await batcher.run(direction.version, signature, rows, settings)
    translated = list(sentences)
    for i, answer in zip(real, answers, strict=True):
        translated[i] = with_translation(sentences[i], answer, alternatives=alternatives, with_words=with_words)
    return translated


async def continuations(batcher: Batcher, direction: Direction, source: str, prefix: str, count: int) -> list[Sentence]:
    """Returns translations that begin with a prefix and differ in the next token, the most likely first.

    Args:
        batcher: Batcher that runs the signature.
        direction: Model version and language pair.
        source: The source sentence.
        prefix: Beginning of the translations.
        count: Maximum number of translations.
    """
    row = {"texts": direction.encoded(source), "prefixes": prefix.encode("utf-8", "replace")}
    (answer,) = await batcher.run(direction.version, ALTERNATIVES, [row], {"alternatives": count})
    exist = [i for i, score in enumerate(answer["scores"]) if score > -math.inf]
    return [with_hypothesis(Sentence(source), answer, i, with_words=True) for i in exist]


def with_translation(sentence: Sentence, answer: SignatureRow, *, alternatives: int, with_words: bool) -> Sentence:
    """Returns a sentence with its best translation and alternatives.

    Args:
        sentence: The sentence without a translation.
        answer: Outputs of the signature `translate` or `translate_nbest` for the sentence.
        alternatives: Maximum number of alternatives.
        with_words: True to add the words with their confidences.
    """
    if isinstance(answer["translations"], bytes):
        answer = {name: [value] for name, value in answer.items()}
    order = [i for i, score in enumerate(answer["scores"]) if score > -math.inf]
    warning_counts = [len(answer["warnings"][i].split(b",")) if answer["warnings"][i] else 0 for i in order]
    if len(order) > 1 and warning_counts[1] < warning_counts[0]:  # as `translate` does
        order[:2] = order[1], order[0]
    others = tuple(answer["translations"][i].decode("utf-8", "replace") for i in order[1 : alternatives + 1])
    return replace(with_hypothesis(sentence, answer, order[0], with_words=with_words), alternatives=others)


def with_hypothesis(sentence: Sentence, answer: SignatureRow, number: int, *, with_words: bool) -> Sentence:
    """Returns a sentence with the translation that has the index `number` in the outputs `answer` of a signature."""
    text = answer["translations"][number].decode("utf-8", "replace")
    warnings = answer["warnings"][number].decode()
    tokens = (answer["pieces"][number], answer["token_log_probabilities"][number]) if with_words else None
    return replace(
        sentence,
        text=text,
        score=rounded(answer["scores"][number]),
        confidence=rounded(answer["confidences"][number]),
        warnings=tuple(warnings.split(",")) if warnings else (),
        words=words_with_confidence(text, *tokens) if tokens else (),
    )


def rounded(value: float) -> float:
    """Rounds a score or probability to 4 decimals, because further digits are not precise."""
    return round(float(value), 4)


def words_with_confidence(text: str, pieces: Sequence[bytes], log_probabilities: Sequence[float]) -> tuple[Word, ...]:
    """Returns the words of a translation with their confidences.

    Args:
        text: The translation.
        pieces: The SentencePiece pieces of the translation, including padding.
        log_probabilities: Log-probability of each piece.
    """
    least: list[float] = []  # lowest log-probability in each word
    for piece, log_probability in zip(pieces, log_probabilities, strict=True):
        if not piece or piece == b"</s>":  # padding, or the end of a part of a long sentence
            continue
        if piece.decode("utf-8", "replace").startswith(WORD_START) or not least:
            least.append(0.0)
        least[-1] = min(least[-1], float(log_probability))
    words = text.split()
    if len(words) != len(least):  # a piece was only a space, or the text was spelled in bytes: use the mean
        least = [sum(least) / max(1, len(least))] * len(words)
    return tuple(Word(word, rounded(math.exp(value))) for word, value in zip(words, least, strict=True))
