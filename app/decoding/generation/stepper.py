"""Traces the steps of generation for a graph; see `steps`."""

import tensorflow as tf

from keras_nmt.app.decoding.generation.graph import GenerationGraph
from keras_nmt.app.decoding.generation.settings import GenerationSettings
from keras_nmt.app.decoding.generation.steps import GenerationSteps, NewTokens, State
from keras_nmt.app.decoding.network.traced import traced
from keras_nmt.app.decoding.search.hypotheses import SearchState, TensorNest
from keras_nmt.app.decoding.search.penalties import IMPOSSIBLE, is_never_chosen
from keras_nmt.app.decoding.search.sampling import Sampler, SamplingState


def steps_of(graph: GenerationGraph) -> GenerationSteps:
    """Traces the two functions for a graph."""
    stepper = _Stepper(graph)
    whole, numbers = tf.TensorSpec([], tf.int32), tf.TensorSpec([None, None], tf.int32)
    seeds = tf.TensorSpec([None, 2], tf.int32)
    defaults = GenerationSettings.of(graph.options)
    settings = [tf.TensorSpec([], value.dtype) for value in defaults]
    begin = traced(stepper.begin, numbers, seeds, whole, *settings)
    advance = traced(stepper.advance, whole, seeds, *settings, *tf.nest.flatten(stepper.state_spec))
    return GenerationSteps(begin, advance, graph.vocabulary, defaults)


class _Stepper:
    """The two functions before they are traced. Their state is that of `Sampler`, with the alternatives beside it."""

    def __init__(self, graph: GenerationGraph) -> None:
        self.graph = graph
        table, values = tf.TensorSpec([None, None, None], tf.int32), tf.TensorSpec([None, None, None], tf.float32)
        plain = graph.state_spec
        self.state_spec = plain._replace(step_state=SearchState((plain.step_state.beams, (table, values))))

    def begin(self, ids: tf.Tensor, seeds: tf.Tensor, count: tf.Tensor, *settings: tf.Tensor) -> State:
        chosen = GenerationSettings(*settings)
        sampler = self._sampler(seeds, chosen)
        read = self.graph.read(tf.RaggedTensor.from_tensor(ids), chosen.max_tokens)
        count = tf.minimum(count, self.graph.vocabulary.size)
        shape = [sampler.rows, sampler.longest, count]
        return _flat(sampler.begin(SearchState((read.beams, (tf.zeros(shape, tf.int32), tf.zeros(shape))))))

    def advance(self, until: tf.Tensor, seeds: tf.Tensor, *values: tf.Tensor) -> State:
        count = len(GenerationSettings._fields)
        state: SamplingState = tf.nest.pack_sequence_as(self.state_spec, values[count:])
        after = self._sampler(seeds, GenerationSettings(*values[:count])).run(state, until)
        drawn = slice(state.position, after.position)
        _, (tokens, log_probabilities) = after.step_state.beams
        new = NewTokens(
            after.tokens[:, 1:][:, drawn],
            after.log_probabilities[:, drawn],
            tokens[:, drawn],
            log_probabilities[:, drawn],
        )
        return [*_flat(after), *new]

    def _sampler(self, seeds: tf.Tensor, settings: GenerationSettings) -> Sampler:
        return self.graph.sampler(seeds, settings, self._recorded_step)

    def _recorded_step(
        self, tokens: tf.Tensor, position: tf.Tensor, state: SearchState
    ) -> tuple[tf.Tensor, SearchState]:
        """Runs a step of the graph, and writes the most probable tokens of the place into the state."""
        inner, (places, values) = state.beams
        logits, after = self.graph.step(tokens, position, SearchState(inner))
        scores = tf.nn.log_softmax(tf.cast(logits, tf.float32))
        allowed = tf.where(is_never_chosen(tf.range(tf.shape(logits)[1])), IMPOSSIBLE, scores)
        found = tf.math.top_k(allowed, tf.shape(places)[2])
        here = (tf.range(tf.shape(places)[1]) == position)[tf.newaxis, :, tf.newaxis]
        places = tf.where(here, found.indices[:, tf.newaxis], places)
        values = tf.where(here, found.values[:, tf.newaxis], values)
        return logits, SearchState((after.beams, (places, values)))


def _flat(state: TensorNest) -> State:
    flat: State = tf.nest.flatten(state)
    return flat
