"""The signatures `inside` and `inside_layer` of language models."""

from collections.abc import Callable
from typing import Protocol

import tensorflow as tf

from keras_nmt.app.decoding.inside.inspector import Inspector
from keras_nmt.app.decoding.inside.signatures import MOST_SOURCE_TOKENS, NEW_TOKENS, SAMPLES
from keras_nmt.app.decoding.network.record import Recorder
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.signatures import Tensors
from keras_nmt.layers import LanguageModel
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import PAD


class ContinuingEngine(Protocol):
    """The attributes of `GenerationGraph` that are used here."""

    vocabulary: AnyVocabulary
    options: DecodingOptions
    # (prompts, int32 [N, (P)], their seeds, int32 [N, 2], temperature, largest number of tokens) -> tokens, then PAD
    continued: Callable[..., tf.Tensor]
    continuations: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # (prompts, tokens) -> the text of the tokens

    @property
    def context_tokens(self) -> int:
        """The largest number of tokens that the model attends to, BOS included."""


class PromptInspector(Inspector):
    """Shows what a language model computes.

    Args:
        engine: The engine.
        model: Its model.
    """

    def __init__(self, engine: ContinuingEngine, model: LanguageModel) -> None:
        super().__init__(model, engine.vocabulary, Recorder(model.record, inputs=1))
        self.engine = engine
        self.options = engine.options

    def inside(self, text: tf.Tensor) -> Tensors:
        """Returns the outputs of the signature `inside` for a prompt, string [].

        The target is the prompt and its greedy continuation of `NEW_TOKENS` tokens, or fewer if the model ends the
        text. The prompt is cut to `MOST_SOURCE_TOKENS` tokens. The two together are cut to what the model can attend to
        at once, of which the prompt has at least half.
        """
        room = self.engine.context_tokens
        most = min(MOST_SOURCE_TOKENS, max(room - NEW_TOKENS, room // 2))  # tokens of the prompt
        prompt = self.vocabulary.encode(text[tf.newaxis])[:, :most]
        new_tokens = tf.minimum(NEW_TOKENS, room - tf.size(prompt.values))
        greedy = self.engine.continued(prompt, tf.zeros([1, 2], tf.int32), 0.0, new_tokens)
        seeds = tf.stack([tf.range(SAMPLES), tf.zeros([SAMPLES], tf.int32)], axis=1)
        prompts = tf.gather(prompt, tf.zeros([SAMPLES], tf.int32))
        drawn = self.engine.continued(prompts, seeds, 1.0, new_tokens)
        return {
            **self.overview(tf.concat([prompt.values, tf.boolean_mask(greedy[0], greedy[0] != PAD)], axis=0)),
            "prompt_tokens": tf.size(prompt.values),
            "greedy_output": self.engine.continuations(prompt.to_tensor(PAD), greedy)[0],
            "sampled_outputs": self.engine.continuations(prompts.to_tensor(PAD), drawn),
        }

    def inside_layer(self, target_ids: tf.Tensor, **numbers: tf.Tensor) -> Tensors:
        """Returns the outputs of the signature `inside_layer`."""
        return self.layer(target_ids, **numbers)
