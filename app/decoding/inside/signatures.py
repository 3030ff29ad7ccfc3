"""The signatures that show what a model computes for one sentence.

Letters: S source tokens with `</s>`, T target tokens, L layers of a stack, H heads, D width, U steps of the search, C
candidates of a step.

`inside` takes a `text` (string []). The decoder reads BOS and the target tokens except the last; row t of what belongs
to the decoder is the position that predicts target token t. The outputs:

- `source_ids`, `target_ids` (int32 [S], [T]); `source_pieces`, `target_pieces` (string);
- `source_embeddings`, `target_embeddings` ([S, D], [T, D]): the rows of the embedding table of what encoder and decoder
  read, not scaled; `source_neighbours`, `target_neighbours` (string [S, 8], [T, 8]): the pieces of the nearest rows,
  without the token itself; `source_cosines`, `target_cosines`: their cosines;
- `positional_encodings` ([max(S, T), D]);
- `encoder_attention` ([L, H, S, S]), `decoder_attention` ([L, H, T, T]), `cross_attention` ([L, H, T, S]);
- `encoder_norms`, `decoder_norms` ([L, sublayers, 3, S or T]): Euclidean norms of the vector before the sublayer, of
  what the sublayer adds, and of the result of the whole residual connection;
- `encoder_active`, `decoder_active` ([L, S or T]): the share of the inner units of the feed-forward network above 0;
- `top_pieces` (string [T, 20]), `top_logits` ([T, 20]), `chosen_logits` ([T], of the target tokens), `temperatures`
  ([20]) and `log_normalizers` ([T, 20]): log(sum(exp(logits / temperature))) over the whole vocabulary;
- `beam_output`, `greedy_output` (string []), `sampled_outputs` (string [4], at temperature 1; for a parser, without the
  rules of trees);
- `candidate_texts`, `candidate_pieces` (string [U, C]), `candidate_log_probabilities` ([U, C]) and `candidate_parents`
  (int32 [U, C]); see `RecordedCandidates`.

`inside_layer` takes `source_ids`, `target_ids`, `kind`, `layer` and `head` (int32 [], from 0), and returns the fields
of `LayerDetails`.

For a language model, `text` is the prompt, and the target is the prompt and its greedy continuation; `prompt_tokens`
(int32 []) is the number of tokens of the prompt. There are no outputs for source and encoder, and none of a search.
`inside_layer` then has no `source_ids`.
"""

from typing import Any, Protocol

import tensorflow as tf

from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.signatures import TEXT, Definition, Tensors

INSIDE, INSIDE_LAYER = "inside", "inside_layer"
KINDS = ("encoder", "decoder", "cross")  # the kinds of attention, in the order of their numbers
MOST_SOURCE_TOKENS = 64  # with `</s>`; also of a prompt
MOST_TARGET_TOKENS = 96  # with these limits, the answers about a base model are below 5 MB
NEW_TOKENS = 24  # of the greedy continuation of a prompt
SAMPLES = 4


class InspectingEngine(Protocol):
    """An engine, or a part of it, that shows what its model computes."""

    options: DecodingOptions
    inside: Any  # text, string [] -> outputs
    inside_layer: Any  # the inputs of the signature, by name -> outputs


def _whole_numbers(name: str, *shape: int | None) -> tf.TensorSpec:
    return tf.TensorSpec(shape, tf.int32, name=name)


SOURCE_IDS, TARGET_IDS = _whole_numbers("source_ids", None), _whole_numbers("target_ids", None)
NUMBERS = [_whole_numbers(name) for name in ("kind", "layer", "head")]


def _inside(engine: InspectingEngine, text: tf.Tensor) -> Tensors:
    found: Tensors = engine.inside(text)
    return found


def _inside_layer(engine: InspectingEngine, **inputs: tf.Tensor) -> Tensors:
    found: Tensors = engine.inside_layer(**inputs)
    return found


DECODER_SIGNATURES = {
    INSIDE: Definition(_inside, [TEXT]),
    INSIDE_LAYER: Definition(_inside_layer, [TARGET_IDS, *NUMBERS]),
}
ENCODER_DECODER_SIGNATURES = {
    INSIDE: Definition(_inside, [TEXT]),
    INSIDE_LAYER: Definition(_inside_layer, [SOURCE_IDS, TARGET_IDS, *NUMBERS]),
}
