"""Beam search for constituency trees over the words of each sentence, written as actions (Vinyals et al. 2015).

The actions open a bracket with a label, read the next word, or close the innermost bracket. The tree "(S (NP we) left)"
has the actions `(S`, `(NP`, word, `)NP`, word, `)S`. Only actions that lead to a well-formed tree are candidates, and
only they are scored, so the constraints need no pass over the logits. At every step at least one action is allowed. So
with any model and any beam size, each hypothesis is a tree.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.search.beam_search import BeamSearch, SearchRunner
from keras_nmt.app.decoding.search.beam_settings import BeamSettings, beam_settings
from keras_nmt.app.decoding.search.beam_state import BeamState
from keras_nmt.app.decoding.search.candidates import Scored, log_normalizers
from keras_nmt.app.decoding.search.hypotheses import Hypotheses, SearchState, Step
from keras_nmt.app.decoding.search.penalties import IMPOSSIBLE
from keras_nmt.app.decoding.search.top_k import TopK, top_k
from keras_nmt.pipelines.vocabulary.tokenizer import EOS

MAX_OPENS = 16  # for a model that opens brackets without end; more than trees of real sentences need


class TreeSymbols(NamedTuple):
    """The ids of the actions; all are different from each other. There are L labels, at least one."""

    words: Sequence[int]  # W ids, at least one; each reads the next word, with a tag or without
    opens: Sequence[int]  # L ids, opens a bracket with each label
    closes: Sequence[int]  # L ids, closes a bracket with each label, in the order of `opens`


class TreeProgress(NamedTuple):
    """The unfinished trees of R hypotheses; every field is int32 [R]."""

    words_read: tf.Tensor
    depth: tf.Tensor  # number of open brackets
    opened: tf.Tensor  # number of brackets that were opened since the last word or closing bracket
    closing: tf.Tensor  # the id that closes the innermost open bracket; PAD if no bracket is open


def tree_search(
    step: Step,
    initial_state: SearchState,
    *,
    words: tf.Tensor,
    symbols: TreeSymbols,
    length_limits: tf.Tensor,
    beam_size: int | tf.Tensor,
    length_penalty: float | tf.Tensor,
    hypotheses: int | tf.Tensor = 1,
    max_opens: int | tf.Tensor = MAX_OPENS,
    run: SearchRunner = BeamSearch.run,
) -> Hypotheses:
    """Searches for the best trees over the words of B sentences.

    A tree has one root, which closes last. Each bracket contains at least one word, and closes with its own label. A
    sentence without words has EOS as its only hypothesis. The probabilities are those of the model: they are not
    divided by the probability of all allowed actions.

    Args:
        step: The step function, as in `beam_search`.
        initial_state: The model's state before the first step.
        words: int32 [B], the number of words of each sentence.
        symbols: The ids of the actions.
        length_limits: int32 [B], the largest number of actions in a tree, EOS included. A limit that is too small for
            any tree is raised to that of the smallest tree, which has one bracket.
        beam_size: K, as in `beam_search`.
        length_penalty: As in `beam_search`.
        hypotheses: As in `beam_search`.
        max_opens: The largest number of brackets that are opened one after another, at least 1.
        run: As in `beam_search`.

    Raises:
        tf.errors.InvalidArgumentError: `beam_size` or `hypotheses` is out of range.
    """
    words = tf.convert_to_tensor(words, tf.int32)

    def step_of_model(tokens: tf.Tensor, position: tf.Tensor, state: SearchState) -> tuple[tf.Tensor, SearchState]:
        sentences, words = state.sentences
        logits, of_model = step(tokens, position, state._replace(sentences=sentences))
        return logits, of_model._replace(sentences=(of_model.sentences, words))

    search = TreeSearch(
        step_of_model,
        beam_settings(beam_size, length_penalty, hypotheses),
        length_limits=tf.maximum(length_limits, smallest_tree(words)),
        symbols=symbols,
        max_opens=max_opens,
    )
    return run(search, initial_state._replace(sentences=(initial_state.sentences, words)))


def smallest_tree(words: tf.Tensor) -> tf.Tensor:
    """Returns the number of actions in the smallest tree over each number of words, EOS included: int32 [B]."""
    return tf.where(words > 0, words + 3, 1)  # with an opening and a closing bracket


def tree_length_limit(words: tf.Tensor, extra: int | tf.Tensor) -> tf.Tensor:
    """Returns the length limits of trees with one bracket for each word, and `extra` more actions: int32 [B].

    3 words and 4 extra actions give a limit of 13: 3 words, 3 opening and 3 closing brackets, and 4 more actions, of
    which EOS is one.

    Args:
        words: int32 [B], the number of words of each sentence.
        extra: The number of actions beyond three for each word, EOS included.
    """
    return tf.maximum(3 * words + extra, smallest_tree(words))


class TreeSearch(BeamSearch):
    """The steps of `tree_search`, where they differ from those of `beam_search`."""

    def __init__(
        self,
        step: Step,
        settings: BeamSettings,
        *,
        length_limits: tf.Tensor,
        symbols: TreeSymbols,
        max_opens: int | tf.Tensor,
    ) -> None:
        no_prefixes = tf.zeros([tf.size(length_limits), 0], tf.int32)
        super().__init__(step, settings, length_limits=length_limits, prefixes=no_prefixes)
        self.max_opens = max_opens
        self.words, self.opens, closes = (tf.convert_to_tensor(ids, tf.int32) for ids in symbols)
        size = [1 + tf.reduce_max(tf.concat([self.words, self.opens, closes, [EOS]], axis=0))]
        opens = self.opens[:, tf.newaxis]
        one = tf.ones_like(self.opens)
        # Tables of all ids up to the largest action: +1 for an opening bracket, -1 for a closing one; 1 for a word; and
        # the closing bracket of each opening one.
        self.depth_changes = tf.scatter_nd(opens, one, size) - tf.scatter_nd(closes[:, tf.newaxis], one, size)
        self.is_word = tf.scatter_nd(self.words[:, tf.newaxis], tf.ones_like(self.words), size)
        self.closing = tf.scatter_nd(opens, closes, size)

    def scored(self, state: BeamState, logits: tf.Tensor) -> Scored:
        """Scores all actions that could come next in each beam: each opening bracket, a word, a closing bracket, EOS.

        An action that is not allowed has the logit -inf.
        """
        logits = tf.cast(logits, tf.float32)
        progress = self.progress(state)
        every_beam = tf.ones_like(progress.depth)[:, tf.newaxis]  # [B * K, 1]
        actions = [every_beam * self.opens, every_beam * self.words, progress.closing[:, tf.newaxis], every_beam * EOS]
        tokens = tf.concat(actions, axis=1)  # [B * K, L + W + 2]
        counts = [tf.size(self.opens), tf.size(self.words), 1, 1]
        is_allowed = tf.repeat(tf.stack(self.allowed(state, progress), axis=1), counts, axis=1)
        values = tf.where(is_allowed, tf.gather(logits, tokens, batch_dims=1), IMPOSSIBLE)
        return Scored(logits, log_normalizers(logits, top_k(logits, 1)), TopK(values, tokens))

    def progress(self, state: BeamState) -> TreeProgress:
        """Computes the progress of every live beam from its actions so far."""
        width = tf.shape(state.live_tokens)[2]
        actions = tf.reshape(state.live_tokens, [-1, width])[:, : state.position + 1]  # [B * K, 1 + position]
        changes = tf.gather(self.depth_changes, actions)
        depths = tf.cumsum(changes, axis=1)  # after each action
        places = tf.range(state.position + 1)
        is_opening = changes > 0
        # After the innermost bracket opens, the depth is the present one. A later bracket that opens at this depth
        # would have closed it.
        is_at_depth = is_opening & (depths == depths[:, -1:])
        innermost = tf.reduce_max(tf.where(is_at_depth, places, 0), axis=1)  # 0 is the place of BOS
        not_opening = tf.reduce_max(tf.where(is_opening, 0, places), axis=1)
        return TreeProgress(
            words_read=tf.reduce_sum(tf.gather(self.is_word, actions), axis=1),
            depth=depths[:, -1],
            opened=state.position - not_opening,
            closing=tf.gather(self.closing, tf.gather(actions, innermost, batch_dims=1)),
        )

    def allowed(self, state: BeamState, progress: TreeProgress) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns which actions each live beam may take: open a bracket, read a word, close a bracket, end.

        All are bool [B * K]. Room is kept for the words that remain, all closing brackets, and EOS.
        """
        _, words = state.step_state.sentences
        depth = progress.depth
        words_left = tf.repeat(words, self.beam_size) - progress.words_read
        room = tf.repeat(state.length_limits, self.beam_size) - (state.position + 1)
        fits = words_left + depth + 2 <= room  # a new bracket has to be closed, and EOS needs a place too
        is_open, is_last = depth > 0, words_left == 0
        may_open = ~is_last & (progress.opened < self.max_opens) & fits
        may_close = is_open & (progress.opened == 0) & (is_last | (depth > 1))
        return may_open, is_open & ~is_last, may_close, ~is_open & is_last
