"""Generation of text by a language model as one TensorFlow graph: tokenises, samples, detokenises, scores.

Its signatures, which an export contains:

- `serving_default` takes `prompts` (string [N]), and returns a continuation of each (`texts`) and its log-probability
  (`scores`). All prompts have the seed 0, and the settings have their default values.
- `generate` also takes `seeds` (int32 [N]), the number of continuations to draw, `samples`, and the scalars in
  `GenerationSettings`, and returns the fields of `GeneratedTexts`.
- `score` takes `texts` (string [N]), and returns the fields of `TextScores`.
- `tokenize` and `detokenize` are those of `signatures`.

`stepper` generates a few tokens at a time, and `generator` yields one text as it is generated.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.forced.text_scoring import text_log_probabilities
from keras_nmt.app.decoding.generation.settings import GenerationSettings
from keras_nmt.app.decoding.inside.prompt import PromptInspector
from keras_nmt.app.decoding.inside.signatures import DECODER_SIGNATURES
from keras_nmt.app.decoding.network.block import BlockReader, CausalNetwork
from keras_nmt.app.decoding.network.traced import traced
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.search.hypotheses import SearchState, Step
from keras_nmt.app.decoding.search.sampling import Sampler, SamplingState
from keras_nmt.app.decoding.signatures import (
    DEFAULT,
    DETOKENIZE,
    ENGINE_SIGNATURES,
    GENERATE,
    SCORE,
    SEEDS,
    TEXTS,
    TOKENIZE,
    Definition,
    Signature,
    Signatures,
    Tensors,
    made_signatures,
    signature,
)
from keras_nmt.app.decoding.text.texts import row_lengths, with_end
from keras_nmt.layers import LanguageModel
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import EOS, PAD

TOKENS_AT_ONCE = 65_536  # tokens whose keys and values are in memory at once: 2 GB for a base model


PROMPTS = tf.TensorSpec([None], tf.string, name="prompts")


class GeneratedTexts(NamedTuple):
    """S continuations of each of N prompts; T is the largest number of tokens."""

    texts: tf.Tensor  # string [N, S], without the prompt
    scores: tf.Tensor  # float32 [N, S], the log-probability: the sum over the tokens
    ended: tf.Tensor  # bool [N, S], True if the model ended the text, False if it reached `max_tokens`
    pieces: tf.Tensor  # string [N, S, T], the pieces of the tokens, with "</s>" if the text ended, then ""
    token_log_probabilities: tf.Tensor  # float32 [N, S, T], of the model without `Sampling`; 0 after the tokens


class TextScores(NamedTuple):
    """A language model's scores of N texts of up to T tokens."""

    log_probabilities: tf.Tensor  # float32 [N], the sums over the tokens
    token_log_probabilities: tf.Tensor  # float32 [N, T], 0 after the tokens
    pieces: tf.Tensor  # string [N, T], the pieces of the tokens; the last is "</s>", then ""


class GenerationGraph(tf.Module):
    """An engine that continues and scores texts with a language model and its vocabulary.

    The model attends to at most `context_tokens` tokens; see `BlockReader`. A longer prompt keeps its last tokens.

    Args:
        model: A `layers.LanguageModel`.
        vocabulary: The vocabulary that the model was trained with.
        options: `max_extra_tokens`, `no_repeat_ngram_size` and `repetition_penalty` are default settings.
        context_tokens: The largest number of tokens that the model attends to, BOS included; at least 2.
    """

    def __init__(
        self, model: CausalNetwork, vocabulary: AnyVocabulary, options: DecodingOptions, context_tokens: int
    ) -> None:
        super().__init__(name="generation")
        self.model = model
        self.vocabulary = vocabulary
        self.options = options
        self.reader = BlockReader(model, context_tokens)
        ids, seeds = tf.RaggedTensorSpec([None, None], tf.int32), tf.TensorSpec([None, 2], tf.int32)
        settings = [tf.TensorSpec([], value.dtype) for value in GenerationSettings.of(options)]
        self._drawn = traced(self._draw, ids, tf.TensorSpec([None], tf.int32), seeds, *settings)
        self.inspector = PromptInspector(self, model) if isinstance(model, LanguageModel) else None

    def signatures(self) -> Signatures:
        """Returns the signatures by name; see the module. Each is traced once, for any number of texts."""
        made = made_signatures(self, GENERATION_SIGNATURES)
        inside = made_signatures(self.inspector, DECODER_SIGNATURES) if self.inspector else {}
        return {DEFAULT: _default_signature(made[GENERATE], self.options), **made, **inside}

    def generate(
        self,
        prompts: tf.Tensor,
        seeds: tf.Tensor,
        settings: GenerationSettings | None = None,
        *,
        samples: int | tf.Tensor = 1,
    ) -> GeneratedTexts:
        """Draws `samples` continuations of each of `prompts` (string [N]; N may be 0).

        The continuations of a prompt depend on its seed (int32 [N]) and not on the other prompts. The i-th one does not
        depend on `samples`. A blank prompt begins a new text.

        Raises:
            tf.errors.InvalidArgumentError: `temperature` or `top_k` is negative, or `top_p` is not above 0.
        """
        settings = settings or GenerationSettings.of(self.options)
        ids = self.vocabulary.encode(prompts)
        numbers = tf.repeat(tf.range(tf.size(prompts)), samples)  # of the prompts, one for each continuation
        sample_numbers = tf.tile(tf.range(samples), [tf.size(prompts)])
        row_seeds = tf.stack([tf.gather(seeds, numbers), sample_numbers], axis=1)
        tokens, by_token = self._drawn(ids, numbers, row_seeds, *settings)
        longest = tf.reduce_max(tf.math.count_nonzero(tokens != PAD, axis=1, dtype=tf.int32), keepdims=True)
        longest = tf.maximum(0, longest[0])  # without rows, reduce_max is negative
        tokens, by_token = tokens[:, :longest], by_token[:, :longest]
        texts = self.continuations(tf.gather(ids, numbers).to_tensor(PAD), tokens)
        by_row = GeneratedTexts(
            texts=texts,
            scores=tf.reduce_sum(by_token, axis=1),
            ended=tf.reduce_any(tokens == EOS, axis=1),
            pieces=self.vocabulary.spell(tokens),
            token_log_probabilities=by_token,
        )
        lead = tf.stack([tf.size(prompts), samples])
        return GeneratedTexts(*(tf.reshape(rows, tf.concat([lead, tf.shape(rows)[1:]], axis=0)) for rows in by_row))

    def continued(
        self, prompts: tf.RaggedTensor, seeds: tf.Tensor, temperature: float, max_tokens: tf.Tensor
    ) -> tf.Tensor:
        """Draws a continuation of each prompt, int32 [N, (P)], with its seed, int32 [N, 2]: int32 [N, T], then PAD."""
        settings = GenerationSettings.of(self.options).changed({"temperature": temperature, "max_tokens": max_tokens})
        tokens, _ = self._drawn(prompts, tf.range(prompts.nrows(out_type=tf.int32)), seeds, *settings)
        return tokens

    @property
    def context_tokens(self) -> int:
        """The largest number of tokens that the model attends to, BOS included."""
        return self.reader.context_tokens

    def _draw(
        self, prompts: tf.RaggedTensor, numbers: tf.Tensor, seeds: tf.Tensor, *values: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws continuations of prompts, int32 [N, (P)], in batches with a bounded number of tokens.

        Args:
            prompts: The tokens of the prompts.
            numbers: The prompt of each continuation, int32 [R], ascending.
            seeds: The seed of each continuation, int32 [R, 2].
            values: The fields of `GenerationSettings`.

        Returns:
            The tokens, int32 [R, max_tokens + 1], and their log-probabilities, float32 in the same shape.
        """
        settings = GenerationSettings(*values)
        longest = tf.maximum(0, tf.reduce_max(row_lengths(prompts)))
        row_tokens = tf.minimum(self.reader.context_tokens, 1 + longest + settings.max_tokens)
        rows_at_once = tf.maximum(1, TOKENS_AT_ONCE // row_tokens)

        def draw_some(first: tf.Tensor, tokens: tf.Tensor, by_token: tf.Tensor) -> tuple[tf.Tensor, ...]:
            own = numbers[first : first + rows_at_once]
            read = self.read(prompts[own[0] : own[-1] + 1], settings.max_tokens)
            sampler = self.sampler(seeds[first : first + rows_at_once], settings)
            state = sampler.begin(tf.nest.map_structure(lambda rows: tf.gather(rows, own - own[0]), read))
            found = sampler.run(state, settings.max_tokens)
            return (
                first + rows_at_once,
                tf.concat([tokens, found.tokens[:, 1:]], axis=0),
                tf.concat([by_token, found.log_probabilities], axis=0),
            )

        width, table = settings.max_tokens + 1, tf.TensorShape([None, None])
        _, tokens, by_token = tf.while_loop(
            lambda first, *_: first < tf.size(numbers),
            draw_some,
            (tf.constant(0), tf.zeros([0, width], tf.int32), tf.zeros([0, width])),
            shape_invariants=(tf.TensorShape([]), table, table),
        )
        return tokens, by_token

    def read(self, prompts: tf.RaggedTensor, max_tokens: tf.Tensor) -> SearchState:
        """Reads prompts, int32 [N, (P)]; returns the state in which `sampler` begins."""
        return SearchState(self.reader.begin(prompts, max_tokens))

    def step(self, tokens: tf.Tensor, position: tf.Tensor, state: SearchState) -> tuple[tf.Tensor, SearchState]:
        """Reads the newest tokens, int32 [B]; returns the logits of the next ones, [B, V], and the state."""
        block, last_of_prompt = state.beams
        logits, block = self.reader.step(tf.where(position == 0, last_of_prompt, tokens), block)
        return logits, SearchState((block, last_of_prompt))

    def sampler(self, seeds: tf.Tensor, settings: GenerationSettings, step: Step | None = None) -> Sampler:
        """Returns the sampler of B continuations with their seeds, int32 [B, 2].

        Run it until `max_tokens`. It has room for one more token, which would be EOS if it were drawn. It calls `step`,
        which is the method of this class if it is None.
        """
        return Sampler(
            step or self.step,
            length_limits=tf.fill([tf.shape(seeds)[0]], settings.max_tokens + 1),
            seeds=seeds,
            sampling=settings.sampling,
            repetition=settings.repetition,
        )

    @property
    def state_spec(self) -> SamplingState:
        """The specs of the state between two steps of `sampler`."""
        whole, table = tf.TensorSpec([], tf.int32), tf.TensorSpec([None, None], tf.int32)
        read = SearchState((self.reader.spec, tf.TensorSpec([None], tf.int32)))
        return SamplingState(whole, table, tf.TensorSpec([None, None], tf.float32), read)

    def score(self, texts: tf.Tensor) -> TextScores:
        """Computes the log-probability of each of `texts` (string [N]; N may be 0), with EOS, after BOS."""
        labels = with_end(self.vocabulary.encode(texts))
        by_token = self.token_log_probabilities(labels)
        return TextScores(tf.reduce_sum(by_token, axis=1), by_token, self.vocabulary.spell(labels))

    def token_log_probabilities(self, labels: tf.Tensor) -> tf.Tensor:
        """Computes the log-probability of each token of texts, int32 [N, T], then PAD: float32 [N, T], 0 at PAD."""
        return text_log_probabilities(
            self.model.decode,
            labels,
            context_tokens=self.reader.context_tokens,
            vocabulary_size=self.vocabulary.size,
        )

    def continuations(self, prompts: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
        """Returns the text of `tokens`, int32 [B, T], after that of `prompts`, int32 [B, P]: string [B].

        A continuation that begins a new word begins with a space, unless the prompt is blank.
        """
        before = tf.strings.length(self.vocabulary.decode(prompts))  # bytes
        whole = self.vocabulary.decode(tf.concat([prompts, tokens], axis=1))
        return tf.strings.substr(whole, before, tf.strings.length(whole) - before)


def _default_signature(generate: Signature, options: DecodingOptions) -> Signature:
    settings = _default_settings(options)

    def plain(prompts: tf.Tensor) -> Tensors:
        found = generate(prompts, tf.zeros([tf.size(prompts)], tf.int32), **settings)
        return {name: found[name][:, 0] for name in ("texts", "scores")}

    return signature(plain, [PROMPTS])


def _default_settings(options: DecodingOptions) -> Tensors:
    return {"samples": tf.constant(1), **GenerationSettings.of(options)._asdict()}


def _generate(
    engine: GenerationGraph, prompts: tf.Tensor, seeds: tf.Tensor, samples: tf.Tensor, **settings: tf.Tensor
) -> Tensors:
    return engine.generate(prompts, seeds, GenerationSettings(**settings), samples=samples)._asdict()


def _score(engine: GenerationGraph, texts: tf.Tensor) -> Tensors:
    return engine.score(texts)._asdict()


GENERATION_SIGNATURES = {
    GENERATE: Definition(_generate, [PROMPTS, SEEDS], _default_settings),
    SCORE: Definition(_score, [TEXTS]),
    TOKENIZE: ENGINE_SIGNATURES[TOKENIZE],
    DETOKENIZE: ENGINE_SIGNATURES[DETOKENIZE],
}
