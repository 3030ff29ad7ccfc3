"""Generates the text of a language model a few tokens at a time, with what the model might have said instead."""

import codecs
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from keras_nmt.app.decoding.generation.settings import GenerationSettings
from keras_nmt.app.decoding.generation.steps import GenerationSteps, NewTokens
from keras_nmt.pipelines.vocabulary.tokenizer import EOS

TOKENS_AT_ONCE = 4  # the time of a call from Python is then small beside that of the steps
CONTEXT_TOKENS = 16  # tokens of the prompt that are decoded with the text, so that words and spaces join

Reason = Literal["length", "stop", "end"]  # `max_tokens` reached, a stop string found, ended by the model


class Alternative(NamedTuple):
    """What could stand in the place of a token.

    Attributes:
        text: The text; "" if the model would end the text here.
        probability: The probability under the model.
    """

    text: str
    probability: float


class Part(NamedTuple):
    """A part of a generated text that is not empty, usually one token.

    A character of several tokens is one part. Its probability is the product of theirs, and its alternatives are those
    to the first of them.
    """

    text: str
    probability: float
    alternatives: tuple[Alternative, ...] = ()


class Chunk(NamedTuple):
    """What one step adds to a text.

    Attributes:
        parts: The parts that are certain now, maybe none.
        tokens: The number of drawn tokens.
        reason: The reason why the text ends; None if it goes on.
    """

    parts: tuple[Part, ...]
    tokens: int
    reason: Reason | None

    @property
    def text(self) -> str:
        """The text of all parts."""
        return "".join(part.text for part in self.parts)


class Token(NamedTuple):
    """A drawn token, the logarithm of its probability, and the ids and probabilities of its alternatives."""

    id: int
    log_probability: float
    alternatives: tuple[tuple[int, float], ...]


class TextGenerator:
    """Generates one text after another. Several threads may use one generator.

    Args:
        steps: The steps of a run's graph or of an export.
        tokens_at_once: The number of tokens of a step.
    """

    def __init__(self, steps: GenerationSteps, tokens_at_once: int = TOKENS_AT_ONCE) -> None:
        self.steps = steps
        self.tokens_at_once = tokens_at_once
        pieces = steps.vocabulary.pieces()
        self.bytes = {
            number: bytes([int(piece[3:-1], 16)])
            for number, piece in enumerate(pieces)
            if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")
        }
        self.shown = [self._shown(number, piece) for number, piece in enumerate(pieces)]

    def generate(
        self, prompt: str, *, seed: int = 0, settings: GenerationSettings | None = None, stop: Sequence[str] = ()
    ) -> Iterator[str]:
        """Yields the continuation of a prompt in parts that are not empty; see `chunks`."""
        return (chunk.text for chunk in self.chunks(prompt, seed=seed, settings=settings, stop=stop) if chunk.parts)

    def chunks(
        self,
        prompt: str,
        *,
        seed: int = 0,
        settings: GenerationSettings | None = None,
        stop: Sequence[str] = (),
        alternatives: int = 0,
    ) -> Generator[Chunk, None, None]:
        """Yields the continuation of a prompt, a chunk for each step.

        The joined parts are the text that `GenerationGraph.generate` returns for this prompt, seed and settings, up to
        the first of the strings in `stop`. No part ends within a character, and no part has a piece of a stop string.

        Args:
            prompt: The text to continue; a new text begins if it is blank.
            seed: The seed of the random numbers, 32 bits.
            settings: The settings of generation; None for those of the engine.
            stop: Strings before which the text ends.
            alternatives: The number of most probable tokens to return for each place.

        Raises:
            ValueError: One of `stop` is empty.
        """
        if "" in stop:
            raise ValueError("a stop string is empty; remove it, or write the text to stop at")
        return self._chunks(prompt, seed, settings or self.steps.settings, stop, alternatives)

    def _chunks(
        self, prompt: str, seed: int, settings: GenerationSettings, stop: Sequence[str], alternatives: int
    ) -> Generator[Chunk, None, None]:
        (ids,) = self.steps.vocabulary.encode_in_python([prompt])
        growing = _GrowingText(self, ids[-CONTEXT_TOKENS:], stop)
        most, count = int(settings.max_tokens), 0
        seeds = tf.constant([[seed, 0]])
        state = self.steps.begin(tf.constant([ids], tf.int32), seeds, tf.constant(alternatives), *settings)
        while True:
            count = min(count + self.tokens_at_once, most)
            *state, tokens, by_token, others, by_other = self.steps.advance(
                tf.constant(count), seeds, *settings, *state
            )
            drawn = self._tokens(NewTokens(tokens, by_token, others, by_other))
            has_ended = bool(drawn) and drawn[-1].id == EOS
            reason: Reason | None = "end" if has_ended else "length" if count == most else None
            parts, is_stopped = growing.add(drawn[: len(drawn) - has_ended], is_last=reason is not None)
            reason = "stop" if is_stopped else reason
            yield Chunk(parts, len(drawn), reason)
            if reason:
                return

    def _tokens(self, new: NewTokens) -> list[Token]:
        """Converts the tokens of the only text."""
        tokens, by_token, others, by_other = (values.numpy()[0] for values in new)
        probabilities = np.exp(by_other)
        return [
            Token(
                int(token),
                float(by_token[place]),
                tuple(zip(others[place].tolist(), probabilities[place].tolist(), strict=True)),
            )
            for place, token in enumerate(tokens)
        ]

    def text_of(self, ids: Sequence[int]) -> str:
        """Decodes tokens."""
        (text,) = self.steps.vocabulary.decode_in_python([ids])
        return text

    def added_text(self, before: Sequence[int], known: str, token: int) -> str:
        """Returns what a token adds to the text of the tokens before, which is `known`; not empty except for EOS.

        A byte, or a token without text of its own, such as a space at the beginning, is shown by itself.
        """
        if token == EOS or token in self.bytes:
            return self.shown[token]
        return self.text_of([*before, token])[len(known) :] or self.shown[token]

    def whole_characters(self, tokens: Sequence[int]) -> int:
        """Returns the number of tokens without those at the end that are the first bytes of an unfinished character."""
        at_end = [*takewhile(lambda token: token in self.bytes, reversed(tokens[-3:]))][::-1]  # a fourth byte ends it
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        decoder.decode(b"".join(self.bytes[token] for token in at_end))
        unfinished, _ = decoder.getstate()
        return len(tokens) - len(unfinished)

    def _shown(self, number: int, piece: str) -> str:
        """Returns the text of a piece by itself. A byte that is no character is shown as its piece, such as <0xE2>."""
        if number == EOS:
            return ""
        byte = self.bytes.get(number, b"\xff")
        return byte.decode() if byte.isascii() else piece.replace("▁", " ")


@dataclass
class _GrowingText:
    """The tokens of a text so far, and what of its text was already returned.

    Attributes:
        generator: The generator, which decodes the tokens.
        before: The last tokens of the prompt.
        stop: Strings before which the text ends.
        tokens: All tokens so far.
        text: The text of `before` and of all tokens that are whole characters.
        ends: Pairs of a number of tokens that are whole characters, and the length of their text, ascending.
        sent: The number of pairs of `ends` whose text was returned.
    """

    generator: TextGenerator
    before: Sequence[int]
    stop: Sequence[str]
    tokens: list[Token] = field(default_factory=list)
    ends: list[tuple[int, int]] = field(default_factory=list)
    sent: int = 1

    def __post_init__(self) -> None:
        self.ids = [*self.before]
        self.text = self.generator.text_of(self.ids)
        self.start = len(self.text)
        self.ends.append((0, self.start))

    def add(self, new: Sequence[Token], *, is_last: bool) -> tuple[tuple[Part, ...], bool]:
        """Adds tokens; returns the parts that are certain now, and True if a stop string was found."""
        for token in new:
            self.tokens.append(token)
            self.ids.append(token.id)
            newest = [one.id for one in self.tokens[-CONTEXT_TOKENS:]]
            self._end_part(len(self.tokens) - len(newest) + self.generator.whole_characters(newest))
        if is_last:
            self._end_part(len(self.tokens))
        place, is_stopped = stop_place(self.text, self.stop, self.start)
        end = place if is_stopped or not is_last else len(self.text)
        return tuple(self._parts(end, is_cut=is_stopped)), is_stopped

    def _end_part(self, count: int) -> None:
        """Ends a part after so many tokens, if that adds text to the part before."""
        if count > self.ends[-1][0] and (added := self._added(self.ends[-1][0], count)):
            self.text += added
            self.ends.append((count, len(self.text)))

    def _added(self, first: int, count: int) -> str:
        """Returns the text of the tokens from `first` up to `count`. Earlier tokens decide how it is spaced."""
        before, known = self._context(first)
        new = self.ids[len(self.before) + first : len(self.before) + count]
        return self.generator.text_of([*before, *new])[len(known) :]

    def _context(self, first: int) -> tuple[list[int], str]:
        """Returns the last tokens before the token at `first`, and their text."""
        end = len(self.before) + first
        before = self.ids[max(0, end - CONTEXT_TOKENS) : end]
        return before, self.generator.text_of(before)

    def _alternatives(self, first: int) -> Iterator[Alternative]:
        """Yields the alternatives to the token at `first`, with the text that each would add there."""
        before, known = self._context(first)
        for token, probability in self.tokens[first].alternatives:
            yield Alternative(self.generator.added_text(before, known, token), probability)

    def _parts(self, end: int, *, is_cut: bool) -> Iterator[Part]:
        """Yields the parts before `end` that were not yielded yet; the last one is cut there if `is_cut`."""
        while self.sent < len(self.ends):
            (first, begin), (last, finish) = self.ends[self.sent - 1 : self.sent + 1]
            if finish > end and not (is_cut and begin < end):
                return
            tokens = self.tokens[first:last]
            probability = math.exp(sum(token.log_probability for token in tokens))
            yield Part(self.text[begin : min(finish, end)], probability, tuple(self._alternatives(first)))
            self.sent += 1


def stop_place(text: str, stop: Sequence[str], start: int = 0) -> tuple[int, bool]:
    """Finds where a growing text ends for now.

    `stop_place("a cat.\\n", ["\\n\\n"])` is (6, False), because the next character may complete the stop string.

    Args:
        text: The text so far.
        stop: Strings before which the text ends; none is empty.
        start: The number of characters at the front in which no stop string is looked for.

    Returns:
        The place of the first stop string and True; or, without one, the place before the longest end of the text that
        may be the beginning of a stop string, and False.
    """
    found = [place for one in stop if (place := text.find(one, start)) >= 0]
    if found:
        return min(found), True
    rest = text[start:]
    held = [length for one in stop for length in range(1, len(one)) if rest.endswith(one[:length])]
    return len(text) - max(held, default=0), False
