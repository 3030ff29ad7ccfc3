"""Generation in steps of a few tokens: the functions that a run traces and a SavedModel stores.

The state between two steps is a flat list of tensors, so that a SavedModel can return it and take it back. It includes
the keys and values of the tokens that were read, so no step reads the prompt again.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.generation.settings import GenerationSettings
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary

State = Sequence[tf.Tensor]


class NewTokens(NamedTuple):
    """The tokens that one step has drawn: T tokens for each of B texts, and N alternatives to each token.

    Alternatives are the most probable tokens at a place, among which may be the drawn one. All log-probabilities are
    those of the model, without the changes of `Sampling`; those of drawn tokens include the repetition penalty.
    """

    tokens: tf.Tensor  # int32 [B, T], EOS at the end of a text, then PAD
    log_probabilities: tf.Tensor  # float32 [B, T]
    alternatives: tf.Tensor  # int32 [B, T, N], the most probable first
    alternative_log_probabilities: tf.Tensor  # float32 [B, T, N]


class GenerationSteps(NamedTuple):
    """What generates text in steps.

    Attributes:
        begin: The function that reads prompts. Its arguments are the tokens, int32 [B, P]; the seeds, int32 [B, 2]; the
            number of alternatives, int32 []; and the values of `GenerationSettings`. It returns the state.
        advance: The function that draws tokens until each text has `until` tokens or has ended. Its arguments are
            `until`, int32 []; the seeds; the values of `GenerationSettings`; and the tensors of the state. It returns
            the new state and the fields of `NewTokens`, all in one list.
        vocabulary: The vocabulary of the model.
        settings: The default settings.
    """

    begin: Callable[..., State]
    advance: Callable[..., State]
    vocabulary: AnyVocabulary
    settings: GenerationSettings
