"""Texts of any length in, translations out: lines and spaces stay, and each sentence is translated by itself."""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from app.decoding.signatures import ALIGN, ALTERNATIVES, N_BEST, TRANSLATE
from app.decoding.text.sentences import is_followed_by_space_outside, stretches_outside
from app.server.engine.batching import Batcher, Row
from app.server.engine.versions import Direction

MOST_CHARACTERS = 2_000  # of what is translated at once
MOST_ALIGNED = 1500**2  # characters of a sentence times those of its translation
WORD_START = "▁"  # SentencePiece's mark for a space


@dataclass(frozen=True)
class Word:
    """A word of a translation: what stands between two spaces, and the probability of its least likely token."""

    text: str
    confidence: float


@dataclass(frozen=True)
class Sentence:
    """One sentence and its translation.

    Attributes:
        source: What was translated, without the space around it.
        text: The translation.
        score: As `Translation.score`.
        confidence: The geometric mean of the probabilities of its tokens.
        warnings: What is suspicious about it.
        words: Of the translation, where they were asked for.
        alternatives: Further translations, best first.
        before: The space before it.
        after: The space behind it.
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
    """A text, sentence by sentence."""

    sentences: tuple[Sentence, ...] = field(default=())

    @property
    def text(self) -> str:
        """The whole translation."""
        return "".join(sentence.before + sentence.text + sentence.after for sentence in self.sentences)

    def alternative(self, number: int) -> str:
        """The whole translation of each sentence's alternative of this number, where it has one."""
        parts = []
        for sentence in self.sentences:
            texts = [sentence.text, *sentence.alternatives]
            parts.append(sentence.before + texts[min(number + 1, len(texts) - 1)] + sentence.after)
        return "".join(parts)


def sentences_of(text: str) -> list[Sentence]:
    """The sentences of a text, not translated yet; put together with their spaces they are the text.

    They are those that the graph finds, so that it translates each as a whole.
    """
    found: list[Sentence] = []
    for before, core, after in stretches_outside(text):
        if found:  # the space between two sentences belongs to the first
            found[-1] = replace(found[-1], after=found[-1].after + before)
        *pieces, last = pieces_of(core)
        found += [Sentence(piece.rstrip(), after=piece[len(piece.rstrip()) :]) for piece in pieces]
        found.append(Sentence(last, after=after))
        first = len(found) - 1 - len(pieces)
        found[first] = replace(found[first], before="" if first else before)
    return found


def pieces_of(sentence: str) -> list[str]:
    """Cuts a sentence that is no sentence, but a list or a text without punctuation, behind spaces.

    A text that is taken cannot be given up before it is computed, so none may take as long as a whole document.
    """
    found, begin = [], 0
    while len(sentence) - begin > MOST_CHARACTERS:
        cut = sentence.rfind(" ", begin + 1, begin + MOST_CHARACTERS) + 1 or begin + MOST_CHARACTERS
        found.append(sentence[begin:cut])
        begin = cut
    return [*found, sentence[begin:]]


def respaced(sentences: Sequence[Sentence]) -> list[Sentence]:
    """Translated sentences with a space between them as their language has it: in Chinese and Japanese none."""
    found = list(sentences)
    for number, sentence in enumerate(found[:-1]):
        if sentence.after in ("", " "):
            found[number] = replace(sentence, after=space_behind(sentence))
    return found


def space_behind(sentence: Sentence) -> str:
    """What stands between a translated sentence and the next one, where the text has a space or nothing."""
    return " " if sentence.text and is_followed_by_space_outside(sentence.text) else ""


async def translate(
    batcher: Batcher,
    direction: Direction,
    texts: Sequence[str],
    *,
    alternatives: int = 0,
    with_words: bool = False,
    settings: Mapping[str, Any] = {},  # nobody writes to it
) -> list[TranslatedText]:
    """Translates texts sentence by sentence, all of them at once.

    Args:
        batcher: Runs the signatures.
        direction: Of a model that translates.
        texts: Of any length.
        alternatives: So many further translations of each sentence.
        with_words: Whether the words' confidences are told.
        settings: Of the search, other than the model's own.
    """
    of_texts = [sentences_of(text) for text in texts]
    flat = [sentence for sentences in of_texts for sentence in sentences]
    translated = await translate_sentences(
        batcher, direction, flat, alternatives=alternatives, with_words=with_words, settings=settings
    )
    remaining = iter(translated)
    return [TranslatedText(tuple(respaced([next(remaining) for _ in sentences]))) for sentences in of_texts]


async def stream(
    batcher: Batcher, direction: Direction, text: str, *, with_words: bool = False
) -> AsyncIterator[tuple[int, Sentence]]:
    """Gives the sentences of a long text with their numbers, each as soon as it is translated."""
    sentences = sentences_of(text)
    places = asyncio.Semaphore(batcher.most_at_once)

    async def one(number: int, sentence: Sentence) -> tuple[int, Sentence]:
        async with places:
            (found,) = await translate_sentences(batcher, direction, [sentence], with_words=with_words)
        return number, respaced([found, *sentences[number + 1 : number + 2]])[0]

    tasks = [asyncio.ensure_future(one(i, sentence)) for i, sentence in enumerate(sentences)]
    try:
        for next_one in asyncio.as_completed(tasks):
            yield await next_one
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
    settings: Mapping[str, Any] = {},  # nobody writes to it
) -> list[Sentence]:
    """Each sentence with its translation; one without text stays as it is."""
    real = [i for i, sentence in enumerate(sentences) if sentence.source]
    rows = [{"texts": direction.encoded(sentences[i].source)} for i in real]
    several = alternatives > 0 or with_words
    if several:
        beam_size = max(
            int(settings.get("beam_size", direction.version.defaults_of(N_BEST)["beam_size"])), alternatives + 1
        )
        settings = {**settings, "beam_size": beam_size}
    answers = await batcher.run(direction.version, N_BEST if several else TRANSLATE, rows, settings)
    translated = list(sentences)
    for i, answer in zip(real, answers, strict=True):
        translated[i] = with_translation(sentences[i], answer, alternatives=alternatives, with_words=with_words)
    return translated


async def continuations(batcher: Batcher, direction: Direction, source: str, prefix: str, count: int) -> list[Sentence]:
    """Translations of a sentence that go on differently behind a prefix, the likeliest way to go on first."""
    row = {"texts": direction.encoded(source), "prefixes": prefix.encode("utf-8", "replace")}
    (answer,) = await batcher.run(direction.version, ALTERNATIVES, [row], {"alternatives": count})
    exist = [i for i, score in enumerate(answer["scores"]) if score > -math.inf]
    return [chosen(Sentence(source), answer, i, with_words=True) for i in exist]


async def aligned(
    batcher: Batcher, direction: Direction, pairs: Sequence[tuple[str, str]]
) -> list[tuple[list[tuple[int, int]], Any]]:
    """For each sentence and its translation: pairs of source word and target word, and float32 weights [U, W].

    The attention to be looked at has a number for each token of one and each of the other, so long sentences have none.
    """
    rows = [
        {"texts": direction.encoded(a), "targets": b.encode("utf-8", "replace")}
        for a, b in pairs
        if can_be_aligned(a, b)
    ]
    answers = iter(await batcher.run(direction.version, ALIGN, rows, {}) if rows else ())
    tags = len(direction.tags)  # each counts as a word of the source
    found = []
    for a, b in pairs:
        if not can_be_aligned(a, b):
            found.append(in_order(len(a.split()), len(b.split())))
            continue
        answer = next(answers)
        words = re.findall(r"(\d+)-(\d+)", answer["alignments"].decode())
        own = [(int(a) - tags, int(b)) for a, b in words if int(a) >= tags]
        found.append((own, answer["weights"][:, tags:]))
    return found


def can_be_aligned(text: Sized, translation: Sized) -> bool:
    """Whether a number for each character of one and each of the other fits into memory beside much else."""
    return len(text) * len(translation) <= MOST_ALIGNED


def in_order(source_words: int, target_words: int) -> tuple[list[tuple[int, int]], Any]:
    """What is taken for the alignment of sentences too long to have one: words come in the same order."""
    pairs = [(target * source_words // target_words, target) for target in range(target_words)] if source_words else []
    return pairs, np.zeros((0, source_words), np.float32)


def with_translation(sentence: Sentence, answer: Row, *, alternatives: int, with_words: bool) -> Sentence:
    """The sentence with what a signature gave for it: of one translation, or of several, best first."""
    if isinstance(answer["translations"], bytes):
        answer = {name: [value] for name, value in answer.items()}
    order = [i for i, score in enumerate(answer["scores"]) if score > -math.inf]
    doubts = [len(answer["warnings"][i].split(b",")) if answer["warnings"][i] else 0 for i in order]
    if len(order) > 1 and doubts[1] < doubts[0]:  # as `translate` chooses
        order[:2] = order[1], order[0]
    others = tuple(answer["translations"][i].decode("utf-8", "replace") for i in order[1 : alternatives + 1])
    return replace(chosen(sentence, answer, order[0], with_words=with_words), alternatives=others)


def chosen(sentence: Sentence, answer: Row, number: int, *, with_words: bool) -> Sentence:
    """The sentence with one of several translations that a signature gave for it."""
    text = answer["translations"][number].decode("utf-8", "replace")
    warnings = answer["warnings"][number].decode()
    tokens = (answer["pieces"][number], answer["token_log_probabilities"][number]) if with_words else None
    return replace(
        sentence,
        text=text,
        score=rounded(answer["scores"][number]),
        confidence=rounded(answer["confidences"][number]),
        warnings=tuple(warnings.split(",")) if warnings else (),
        words=words_of(text, *tokens) if tokens else (),
    )


def rounded(value: float) -> float:
    """As many digits as mean something."""
    return round(float(value), 4)


def words_of(text: str, pieces: Sequence[bytes], log_probabilities: Sequence[float]) -> tuple[Word, ...]:
    """The words of a translation with their confidences, by the pieces that make them."""
    least: list[float] = []
    for piece, log_probability in zip(pieces, log_probabilities, strict=True):
        if not piece or piece == b"</s>":  # which ends each piece of a long sentence
            continue
        if piece.decode("utf-8", "replace").startswith(WORD_START) or not least:
            least.append(0.0)
        least[-1] = min(least[-1], float(log_probability))
    words = text.split()
    if len(words) != len(least):  # a piece was a space alone, or the text was spelt in bytes
        least = [sum(least) / max(1, len(least))] * len(words)
    return tuple(Word(word, rounded(math.exp(value))) for word, value in zip(words, least, strict=True))
