"""The signatures of an engine: named functions with fixed inputs, outputs and defaults, as a SavedModel stores them.

Signatures that translate all take `texts` (string [N]):

- `serving_default` takes only `texts`, and returns `translations` and `scores` ([N]).
- `translate` returns `BEST_OUTPUTS`, which are fields of `TranslatedTexts`, for the best translation ([N]).
- `translate_nbest` returns all fields of `TranslatedTexts` for the K best translations ([N, K], best first), where K is
  the beam size. It searches longer than `translate`.
- `translate_prefix` also takes `prefixes` (string [N]), and returns K translations that begin with the prefix.
- `translate_alternatives` also takes `prefixes` and the number of translations to return, `alternatives`. The
  translations begin with the prefix and differ in the token after the prefix.
- `translate_sample` also takes `seeds` (int32 [N]), the number of translations to draw, `samples`, and the fields of
  `Sampling`: `temperature`, `top_k` and `top_p`.
- `translate_glossary` also takes `source_terms` and `target_terms` (string [G]), and returns `BEST_OUTPUTS`.

All of these signatures except `serving_default` take the scalars `beam_size`, `length_penalty`, `max_extra_tokens`,
`no_repeat_ngram_size`, `repetition_penalty`, `min_tokens` and `max_tokens`. The defaults of these scalars are the
engine's settings.
`translate_sample` takes no `beam_size`.

The other signatures:

- `score` takes `texts`, `targets` (string [N]) and `length_penalty`, and returns the fields of `ScoredTexts`.
- `align` takes `texts` and `targets`, and returns the fields of `Alignments`.
- `explain` takes one `text` (string []), and returns the fields of `Explanation`.
- `tokenize` takes `texts`, and returns `pieces` (string [N, L]), `ids` (int32 [N, L]) and `lengths` (int32 [N]).
- `detokenize` takes `ids`, and returns `texts`.
- `generate` is a signature of language models, which have none that translate; see `generation.graph`.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import tensorflow as tf

from keras_nmt.app.decoding.engine import TransformerEngine, TranslationEngine
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.search.sampling import Sampling
from keras_nmt.app.decoding.text.texts import Search, TranslatedTexts, row_lengths
from keras_nmt.pipelines.vocabulary.tokenizer import PAD

T = TypeVar("T")
Tensors = Mapping[str, tf.Tensor]


class Signature(Protocol):
    """A callable with named tensors as inputs and outputs, such as a `tf.function`."""

    @property
    def input_signature(self) -> Sequence[tf.TensorSpec]:
        """The specs of the inputs, in the order of the arguments; each spec has the name of its input."""

    def __call__(self, *inputs: tf.Tensor, **named_inputs: tf.Tensor) -> Tensors:
        """Computes the outputs, by name."""


Signatures = Mapping[str, Signature]


class Engine(Protocol):
    """What every engine has: its default settings."""

    @property
    def options(self) -> DecodingOptions:
        """The default settings."""


DEFAULT, TRANSLATE, N_BEST, PREFIX, ALTERNATIVES, SAMPLE, GLOSSARY, SCORE, ALIGN, EXPLAIN, TOKENIZE, DETOKENIZE = (
    "serving_default",
    "translate",
    "translate_nbest",
    "translate_prefix",
    "translate_alternatives",
    "translate_sample",
    "translate_glossary",
    "score",
    "align",
    "explain",
    "tokenize",
    "detokenize",
)
GENERATE = "generate"
DEFAULT_OUTPUTS = ("translations", "scores")
BEST_OUTPUTS = ("translations", "scores", "confidences", "warnings")  # of signatures that return one translation


def _strings(name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None], tf.string, name=name)


TEXTS, TARGETS, PREFIXES = _strings("texts"), _strings("targets"), _strings("prefixes")
SOURCE_TERMS, TARGET_TERMS = _strings("source_terms"), _strings("target_terms")
SEEDS = tf.TensorSpec([None], tf.int32, name="seeds")
IDS = tf.TensorSpec([None, None], tf.int32, name="ids")
TEXT = tf.TensorSpec([], tf.string, name="text")


def _no_defaults(_: DecodingOptions) -> Tensors:
    return {}


class Definition(NamedTuple):
    """The definition of a signature, which is the same for all engines.

    Attributes:
        body: The function that computes the outputs from the engine and the named inputs.
        inputs: The specs of the inputs without a default.
        defaults: The function that maps the engine's options to the default values of the other inputs, which are all
            scalars.
    """

    body: Callable[..., Tensors]
    inputs: Sequence[tf.TensorSpec]
    defaults: Callable[[DecodingOptions], Tensors] = _no_defaults


def engine_signatures(engine: TranslationEngine) -> Signatures:
    """Returns the signatures that every engine has, by name: `ENGINE_SIGNATURES` and `serving_default`.

    Each signature is traced once, for any number of texts.
    """
    made = made_signatures(engine, ENGINE_SIGNATURES)
    return {DEFAULT: default_signature(made[TRANSLATE], engine.options), **made}


def transformer_signatures(engine: TransformerEngine) -> Signatures:
    """Returns the signatures of `engine_signatures` and `TRANSFORMER_SIGNATURES`, by name.

    Each signature is traced once, for any number of texts.
    """
    return {**engine_signatures(engine), **made_signatures(engine, TRANSFORMER_SIGNATURES)}


def parser_signatures(engine: TranslationEngine) -> Signatures:
    """Returns the signatures of a parser, by name.

    Their `translations` are trees. The `targets` of `score` are trees as the pieces of their actions, separated by
    spaces: `<(S> <XX> <XX> <)S>`.
    """
    traced = made_signatures(engine, {name: ENGINE_SIGNATURES[name] for name in (TRANSLATE, N_BEST, SCORE, TOKENIZE)})
    return {DEFAULT: default_signature(traced[TRANSLATE], engine.options), **traced}


def default_signature(translate: Signature, options: DecodingOptions) -> Signature:
    """Returns the signature `serving_default`, which runs `translate` with the settings in `options`."""
    settings = search_settings(options)

    def plain(texts: tf.Tensor) -> Tensors:
        found = translate(texts, **settings)
        return {name: found[name] for name in DEFAULT_OUTPUTS}

    return signature(plain, [TEXTS])


def search_settings(options: DecodingOptions) -> dict[str, tf.Tensor]:
    """Converts the settings of the search to default values of a signature's inputs, by name."""
    return Search.of(options)._asdict()


def _alternatives_settings(options: DecodingOptions) -> Tensors:
    return {"alternatives": tf.constant(options.beam_size), **search_settings(options)}


def _sampling_settings(options: DecodingOptions) -> Tensors:
    sampling = {name: tf.constant(value) for name, value in Sampling()._asdict().items()}
    without_beam = {name: value for name, value in search_settings(options).items() if name != "beam_size"}
    return {"samples": tf.constant(1), **sampling, **without_beam}


def _score_settings(options: DecodingOptions) -> Tensors:
    return {"length_penalty": search_settings(options)["length_penalty"]}


def _best(engine: TranslationEngine, texts: tf.Tensor, **search: tf.Tensor) -> Tensors:
    return _best_outputs(engine.translate(texts, Search(**search), retry=True))


def _n_best(engine: TranslationEngine, texts: tf.Tensor, **search: tf.Tensor) -> Tensors:
    return engine.translate(texts, Search(**search), hypotheses=search["beam_size"])._asdict()


def _with_prefix(engine: TransformerEngine, texts: tf.Tensor, prefixes: tf.Tensor, **search: tf.Tensor) -> Tensors:
    hypotheses = search["beam_size"]
    return engine.translate_with_prefixes(texts, prefixes, Search(**search), hypotheses=hypotheses)._asdict()


def _alternatives(
    engine: TransformerEngine, texts: tf.Tensor, prefixes: tf.Tensor, alternatives: tf.Tensor, **search: tf.Tensor
) -> Tensors:
    return engine.alternatives(texts, prefixes, Search(**search), count=alternatives)._asdict()


def _samples(
    engine: TransformerEngine, texts: tf.Tensor, seeds: tf.Tensor, samples: tf.Tensor, **settings: tf.Tensor
) -> Tensors:
    sampling = Sampling(*(settings.pop(name) for name in Sampling._fields))
    search = Search(tf.constant(1), **settings)
    return engine.sample(texts, seeds, sampling, search, count=samples)._asdict()


def _with_terms(
    engine: TransformerEngine,
    texts: tf.Tensor,
    source_terms: tf.Tensor,
    target_terms: tf.Tensor,
    **search: tf.Tensor,
) -> Tensors:
    return _best_outputs(engine.with_glossary(texts, source_terms, target_terms, Search(**search)))


def _score(engine: TranslationEngine, texts: tf.Tensor, targets: tf.Tensor, length_penalty: tf.Tensor) -> Tensors:
    return engine.score(texts, targets, length_penalty)._asdict()


def _align(engine: TransformerEngine, texts: tf.Tensor, targets: tf.Tensor) -> Tensors:
    return engine.align(texts, targets)._asdict()


def _explain(engine: TransformerEngine, text: tf.Tensor) -> Tensors:
    return engine.explain(text)._asdict()


def _tokenize(engine: TranslationEngine, texts: tf.Tensor) -> Tensors:
    tokens = engine.vocabulary.encode(texts)
    ids = tokens.to_tensor(PAD)
    return {"ids": ids, "pieces": engine.vocabulary.spell(ids), "lengths": row_lengths(tokens)}


def _detokenize(engine: TranslationEngine, ids: tf.Tensor) -> Tensors:
    return {"texts": engine.vocabulary.decode(ids)}


def _best_outputs(found: TranslatedTexts) -> Tensors:
    return {name: getattr(found, name)[:, 0] for name in BEST_OUTPUTS}


ENGINE_SIGNATURES = {
    TRANSLATE: Definition(_best, [TEXTS], search_settings),
    N_BEST: Definition(_n_best, [TEXTS], search_settings),
    SCORE: Definition(_score, [TEXTS, TARGETS], _score_settings),
    TOKENIZE: Definition(_tokenize, [TEXTS]),
    DETOKENIZE: Definition(_detokenize, [IDS]),
}
TRANSFORMER_SIGNATURES = {
    PREFIX: Definition(_with_prefix, [TEXTS, PREFIXES], search_settings),
    ALTERNATIVES: Definition(_alternatives, [TEXTS, PREFIXES], _alternatives_settings),
    SAMPLE: Definition(_samples, [TEXTS, SEEDS], _sampling_settings),
    GLOSSARY: Definition(_with_terms, [TEXTS, SOURCE_TERMS, TARGET_TERMS], search_settings),
    ALIGN: Definition(_align, [TEXTS, TARGETS]),
    EXPLAIN: Definition(_explain, [TEXT]),
}


def made_signatures(engine: Engine, definitions: Mapping[str, Definition]) -> dict[str, Signature]:
    """Returns the signatures of an engine that `definitions` describe, by name."""
    return {
        name: signature(partial(body, engine), inputs, defaults(engine.options), name=body.__name__.strip("_"))
        for name, (body, inputs, defaults) in definitions.items()
    }


def signature(
    body: Callable[..., Tensors],
    inputs: Sequence[tf.TensorSpec],
    defaults: Mapping[str, tf.Tensor] = {},
    *,
    name: str = "plain",
) -> Signature:
    """Makes a `tf.function` with named inputs that is traced once. Callers may omit inputs that have a default.

    After the function is saved in a SavedModel, its defaults still apply in TF Serving and in calls of methods of the
    loaded model. Calls of functions in the attribute `signatures` of the loaded model need every input.

    Args:
        body: The function that computes the outputs from the named inputs.
        inputs: The specs of the inputs without a default.
        defaults: The default values of the other inputs, all scalars, by name.
        name: The name of the function in a graph.
    """
    inputs = [*inputs, *(tf.TensorSpec([], value.dtype, name=key) for key, value in defaults.items())]
    keys = [spec.name for spec in inputs]

    def function(*values: tf.Tensor) -> Tensors:
        return body(**dict(zip(keys, values, strict=True)))

    separate = partial(function)  # TensorFlow counts tracings per code object, which all signatures share
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(key, kind, default=defaults.get(key, inspect.Parameter.empty)) for key in keys]
    separate.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # TensorFlow reads it
    separate.__name__ = name  # type: ignore[attr-defined]
    made: Signature = tf.function(separate, input_signature=inputs, autograph=False)
    return made


def with_translate(named: Mapping[str, T]) -> dict[str, T]:
    """Adds the key `translate` if a model that translates lacks it: older exports only have `serving_default`."""
    return {**named, **({} if GENERATE in named else {TRANSLATE: named.get(TRANSLATE, named[DEFAULT])})}


def inputs_of(function: Signature) -> list[str]:
    """Returns the names of the inputs of a signature, made by `signature` or loaded from a SavedModel."""
    if hasattr(function, "structured_input_signature"):
        return list(function.structured_input_signature[1])
    return [spec.name for spec in function.input_signature]
