"""Yields the text of a language model as it is generated, a few tokens at a time."""

import codecs
from collections.abc import Iterator, Sequence
from itertools import takewhile

import tensorflow as tf

from keras_nmt.app.decoding.generation.graph import GenerationGraph, GenerationSettings
from keras_nmt.app.decoding.network.traced import traced
from keras_nmt.app.decoding.search.sampling import SamplingState
from keras_nmt.pipelines.vocabulary.tokenizer import EOS

TOKENS_AT_ONCE = 4  # the time of a call from Python is then small beside that of the steps


class TextGenerator:
    """Generates one text after another with a `GenerationGraph`.

    Args:
        graph: The engine.
        tokens_at_once: The number of tokens after which text can be yielded.
    """

    def __init__(self, graph: GenerationGraph, tokens_at_once: int = TOKENS_AT_ONCE) -> None:
        self.graph = graph
        self.tokens_at_once = tokens_at_once
        self.bytes = {
            number: bytes([int(piece[3:-1], 16)])
            for number, piece in enumerate(graph.vocabulary.pieces())
            if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")
        }
        settings = [tf.TensorSpec([], value.dtype) for value in GenerationSettings.of(graph.options)]
        seeds = tf.TensorSpec([1, 2], tf.int32)
        self._begin = traced(self._begun, tf.RaggedTensorSpec([1, None], tf.int32), seeds, *settings)
        self._advance = traced(self._advanced, graph.state_spec, tf.TensorSpec([], tf.int32), seeds, *settings)

    def generate(
        self, prompt: str, *, seed: int = 0, settings: GenerationSettings | None = None, stop: Sequence[str] = ()
    ) -> Iterator[str]:
        """Yields the continuation of a prompt in parts that are not empty.

        The joined parts are the text that `GenerationGraph.generate` returns for this prompt, seed and settings, up to
        the first of the strings in `stop`. No part ends within a character, and no part has a piece of a stop string.

        Args:
            prompt: The text to continue; a new text begins if it is blank.
            seed: The seed of the random numbers, 32 bits.
            settings: The settings of generation; None for those of the engine.
            stop: Strings before which the text ends.

        Raises:
            ValueError: One of `stop` is empty.
        """
        if "" in stop:
            raise ValueError("a stop string is empty; remove it, or write the text to stop at")
        settings = settings or GenerationSettings.of(self.graph.options)
        return self._parts(prompt, seed, settings, stop)

    def _parts(self, prompt: str, seed: int, settings: GenerationSettings, stop: Sequence[str]) -> Iterator[str]:
        ids = self.graph.vocabulary.encode(tf.constant([prompt]))
        before = ids.to_list()[0]
        start = sent = len(self._text(before))
        for tokens, is_last in self._growing(ids, seed, settings):
            text = self._text([*before, *(tokens if is_last else self._whole_characters(tokens))])
            place, is_stopped = stop_place(text, stop, start)
            end = place if is_stopped or not is_last else len(text)
            if end > sent:
                yield text[sent:end]
                sent = end
            if is_stopped:
                return

    def _growing(
        self, ids: tf.RaggedTensor, seed: int, settings: GenerationSettings
    ) -> Iterator[tuple[list[int], bool]]:
        """Yields all tokens so far, without EOS, and True if these are all; a few tokens more each time."""
        seeds, most = tf.constant([[seed, 0]]), int(settings.max_tokens)
        state = self._begin(ids, seeds, *settings)
        count = 0
        while True:
            count = min(count + self.tokens_at_once, most)
            state = self._advance(state, tf.constant(count), seeds, *settings)
            drawn = state.tokens[0, 1 : count + 1].numpy().tolist()
            tokens = list(takewhile(lambda token: token != EOS, drawn))
            is_last = len(tokens) < len(drawn) or count == most
            yield tokens, is_last
            if is_last:
                return

    def _text(self, ids: Sequence[int]) -> str:
        (text,) = self.graph.vocabulary.decode_in_python([ids])
        return text

    def _whole_characters(self, tokens: list[int]) -> list[int]:
        """Returns the tokens without those at the end that are the first bytes of an unfinished character."""
        at_end = [*takewhile(lambda token: token in self.bytes, reversed(tokens))][::-1]
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        decoder.decode(b"".join(self.bytes[token] for token in at_end))
        unfinished, _ = decoder.getstate()
        return tokens[: len(tokens) - len(unfinished)]

    def _begun(self, ids: tf.RaggedTensor, seeds: tf.Tensor, *settings: tf.Tensor) -> SamplingState:
        chosen = GenerationSettings(*settings)
        return self.graph.sampler(seeds, chosen).begin(self.graph.read(ids, chosen.max_tokens))

    def _advanced(
        self, state: SamplingState, until: tf.Tensor, seeds: tf.Tensor, *settings: tf.Tensor
    ) -> SamplingState:
        return self.graph.sampler(seeds, GenerationSettings(*settings)).run(state, until)


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
