"""Beam search for constituency trees over the words of each sentence, written as actions (Vinyals et al. 2015).

The actions open a bracket with a label, read the next word, or close the innermost bracket. The tree "(S (NP we) left)"
has the actions `(S`, `(NP`, word, `)NP`, word, `)S`. Only actions that lead to a well-formed tree are candidates, and
only they are scored, so the constraints need no pass over the logits. At every step at least one action is allowed. So
with any model and any beam size, each hypothesis is a tree.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_nmt.app.decoding.search.beam_search import BeamSearch, SearchRunner
from keras_nmt.app.decoding.search.beam_settings import BeamSettings, beam_settings
from keras_nmt.app.decoding.search.beam_state import BeamState
from keras_nmt.app.decoding.search.candidates import Candidates, Scored, exact_log_normalizers
from keras_nmt.app.decoding.search.hypotheses import Hypotheses, SearchState, Step
from keras_nmt.app.decoding.search.penalties import IMPOSSIBLE
from keras_nmt.app.decoding.search.top_k import TopK
from keras_nmt.pipelines.vocabulary.tokenizer import EOS

FEW_BRACKETS = 8  # room for open brackets at first, which is doubled if needed
MAX_OPENS = 16  # for a model that opens brackets without end; more than trees of real sentences need


class TreeSymbols(NamedTuple):
    """The ids of the actions; each id is that of one action. There are L labels; at least one is not that of a rest."""

    words: Sequence[int]  # W ids, at least one; each reads the next word, with a tag or without
    opens: Sequence[int]  # L ids, opens a bracket with each label
    closes: Sequence[int]  # L ids, closes a bracket with each label, in the order of `opens`
    larger: Sequence[int] = ()  # L ids, closes the bracket that each label is a rest of (`with_rests`); 0 if none


class TreeProgress(NamedTuple):
    """The unfinished trees of R hypotheses, which have at most D open brackets."""

    words_read: tf.Tensor  # int32 [R]
    depth: tf.Tensor  # int32 [R], number of open brackets
    opened: tf.Tensor  # int32 [R], number of brackets that were opened since the last word or closing bracket
    closing: tf.Tensor  # int32 [R, D], the ids that close the open brackets, outermost first; then any ids
    has_rest: tf.Tensor  # bool [R, D], True for an open bracket that has a rest; then any values

    def innermost(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns `closing` and `has_rest` of the innermost open bracket, [R]; any values if no bracket is open."""
        top = tf.maximum(self.depth - 1, 0)
        return tf.gather(self.closing, top, batch_dims=1), tf.gather(self.has_rest, top, batch_dims=1)


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
    search = TreeSearch(
        step,
        beam_settings(beam_size, length_penalty, hypotheses),
        length_limits=tf.maximum(length_limits, smallest_tree(words)),
        symbols=symbols,
        max_opens=max_opens,
    )
    beams = tf.size(words) * search.beam_size
    none = tf.zeros([beams], tf.int32)
    # The placeholder hides the number of columns from the graph, which would not allow it to change.
    stacks = tf.compat.v1.placeholder_with_default(tf.zeros([beams, FEW_BRACKETS], tf.int32), [None, None])
    progress = TreeProgress(none, none, none, stacks, tf.zeros_like(stacks, tf.bool))
    return run(search, SearchState((initial_state.beams, progress), (initial_state.sentences, words)))


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
        super().__init__(self.counting_step, settings, length_limits=length_limits, prefixes=no_prefixes)
        self.step_of_model = step
        self.max_opens = max_opens
        self.words, self.opens, closes, larger = (np.array(ids, np.int32) for ids in symbols)
        self.larger = larger if larger.size else np.zeros_like(self.opens)
        self.ends_of_rests = closes[self.larger > 0]
        self.has_rests = np.where(np.isin(closes, self.larger), closes, EOS)  # EOS closes no bracket
        # For each id up to the largest action: 1 for a word; +1 for an opening bracket, -1 for a closing one; the
        # closing bracket of an opening one; and 1 for the closing bracket of a rest.
        effects = np.zeros([1 + max(EOS, *self.words, *self.opens, *closes), 4], np.int32)
        effects[self.words, 0] = 1
        effects[self.opens, 1], effects[closes, 1] = 1, -1
        effects[self.opens, 2] = closes
        effects[closes, 3] = self.larger > 0
        self.effects = tf.constant(effects)

    def counting_step(
        self, tokens: tf.Tensor, position: tf.Tensor, state: SearchState
    ) -> tuple[tf.Tensor, SearchState]:
        """Runs the model's step, and updates the progress of each beam, which is part of the state."""
        (beams, progress), (sentences, words) = state
        logits, of_model = self.step_of_model(tokens, position, SearchState(beams, sentences))
        progress = self.advanced(TreeProgress(*progress), tokens)  # BOS has no effect
        return logits, SearchState((of_model.beams, progress), (of_model.sentences, words))

    def advanced(self, progress: TreeProgress, actions: tf.Tensor) -> TreeProgress:
        """Returns the progress of R hypotheses after one more action of each, int32 [R]."""
        reads, change, closing, ends_rest = tf.unstack(tf.gather(self.effects, actions), axis=1)
        opens, depth = change > 0, progress.depth + change
        room = tf.shape(progress.closing)[1]
        missing = [[0, 0], [0, tf.where(tf.reduce_max(progress.depth) < room, 0, room)]]
        stack, has_rest = tf.pad(progress.closing, missing), tf.pad(progress.has_rest, missing)
        places = tf.range(tf.shape(stack)[1])
        is_new = (places == progress.depth[:, tf.newaxis]) & opens[:, tf.newaxis]
        is_around = (places == depth[:, tf.newaxis] - 1) & (ends_rest > 0)[:, tf.newaxis]  # the bracket with the rest
        return TreeProgress(
            words_read=progress.words_read + reads,
            depth=depth,
            opened=tf.where(opens, progress.opened + 1, 0),
            closing=tf.where(is_new, closing[:, tf.newaxis], stack),
            has_rest=is_around | (has_rest & ~is_new),
        )

    def scored(self, state: BeamState, logits: tf.Tensor) -> Scored:
        """Scores all actions that could come next in each beam: each opening bracket, a word, a closing bracket, EOS.

        An action that is not allowed has the logit -inf.
        """
        logits = tf.cast(logits, tf.float32)
        _, progress = state.step_state.beams
        closing = progress.innermost()[0][:, tf.newaxis]  # [B * K, 1]
        kinds = [self.opens, self.words, closing, np.array([EOS], np.int32)]
        tokens = tf.concat([tf.zeros_like(closing) + ids for ids in kinds], axis=1)  # [B * K, L + W + 2]
        values = tf.gather(logits, tokens, batch_dims=1)
        of_kinds = tf.split(values, [self.opens.size, self.words.size, 1, 1], axis=1)
        is_allowed = self.allowed(state, progress)
        allowed = [tf.where(may[:, tf.newaxis], own, IMPOSSIBLE) for may, own in zip(is_allowed, of_kinds, strict=True)]
        allowed[0] = tf.where(self.allowed_labels(progress), allowed[0], IMPOSSIBLE)
        return Scored(logits, exact_log_normalizers(logits), TopK(tf.concat(allowed, axis=1), tokens))

    def allowed_labels(self, progress: TreeProgress) -> tf.Tensor:
        """Returns which labels may open so that each tree has one way to be built `with_rests`: bool [B * K, L].

        A rest opens in its larger bracket, which is not empty. Behind a rest, only another one opens. A bracket whose
        label has rests does not open at the beginning of a bracket with the same label.
        """
        closing, has_rest = (values[:, tf.newaxis] for values in progress.innermost())
        is_open, is_empty = (progress.depth > 0)[:, tf.newaxis], (progress.opened > 0)[:, tf.newaxis]
        may_open = ~(is_open & (has_rest | (is_empty & (self.has_rests == closing))))
        return tf.where(self.larger > 0, is_open & ~is_empty & (self.larger == closing), may_open)

    def extensions(self, state: BeamState, scored: Scored) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the log-probabilities of all actions of each beam, and the actions; both [B * K, L + W + 2].

        No action has to be forced at the length limit: `allowed` keeps room for all that must follow.
        """
        return scored.best.values - scored.normalizers, scored.best.indices

    def finish(self, state: BeamState, candidates: Candidates) -> BeamState:
        """Keeps the best trees, like `BeamSearch.finish`; does nothing in the many steps in which no tree ends."""
        ends = (candidates.tokens == EOS) & (candidates.log_probabilities > IMPOSSIBLE)
        found = super().finish
        finished = tf.cond(tf.reduce_any(ends), lambda: found(state, candidates).finished, lambda: state.finished)
        return state._replace(finished=finished)

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
        closing, has_rest = progress.innermost()
        ends_rest = tf.reduce_any(closing[:, tf.newaxis] == self.ends_of_rests, axis=1)
        # Behind a rest in the root, other words need another rest: two brackets more.
        may_end_rest = is_last | (depth > 2) | (words_left + 4 <= room)
        may_close = is_open & (progress.opened == 0) & (is_last | (depth > 1)) & (may_end_rest | ~ends_rest)
        return may_open, is_open & ~is_last & ~has_rest, may_close, ~is_open & is_last
