"""The signatures of a translation graph: their names, what they take and give, and how one is made."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from app.decoding.search.sampling import Sampling
from app.decoding.text.texts import Search, TranslatedTexts, row_lengths
from pipelines.vocabulary.tokenizer import PAD

Signatures = Mapping[str, Callable[..., Mapping[str, tf.Tensor]]]

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
OF_DEFAULT = ("translations", "scores")
OF_THE_BEST = ("translations", "scores", "confidences", "warnings")  # what is told where only one is asked for


def signatures_of(graph: Any) -> Signatures:
    """A translation graph as functions, each traced once for every number of texts; for a translator or a SavedModel.

    `serving_default` takes `texts` (string [N]), nothing else, and gives `translations` and `scores` ([N]).
    `translate` takes `texts` and gives the fields of `TranslatedTexts` for the best translation ([N]);
    `translate_nbest`, which searches longer, gives as many as the beam holds ([N, K], best first), and so
    does `translate_prefix`, which takes `prefixes` (string [N]) too, with which they begin.
    `translate_alternatives` takes `prefixes` and gives `alternatives` translations, each of which goes on
    differently behind its prefix. `translate_sample` takes `seeds` (int32 [N]) and gives `samples` translations
    drawn with `temperature`, `top_k` and `top_p`. `translate_glossary` takes `source_terms` and `target_terms`
    (string [G]) and gives what `translate` does. All of these but `serving_default` may be told another
    `beam_size`, `length_penalty`, `max_extra_tokens`, `no_repeat_ngram_size` and `repetition_penalty` (scalars)
    than the graph's; sampling needs no beam.

    `score` takes `texts`, `targets` (string [N]) and perhaps another `length_penalty` and gives the fields of
    `ScoredTexts`; `align` takes `texts` and `targets` and gives those of `Alignments`. `explain` takes one `text`
    (string []) and gives the fields of `Explanation`. `tokenize` takes `texts` and
    gives `pieces` (string [N, L]), `ids` (int32 [N, L]) and `lengths` (int32 [N]); `detokenize` takes `ids` and
    gives `texts`.
    """
    texts, prefixes, targets = (tf.TensorSpec([None], tf.string, name=n) for n in ("texts", "prefixes", "targets"))
    terms = [tf.TensorSpec([None], tf.string, name=name) for name in ("source_terms", "target_terms")]
    seeds = tf.TensorSpec([None], tf.int32, name="seeds")
    ids = tf.TensorSpec([None, None], tf.int32, name="ids")
    settings = Search.of(graph.options)._asdict()
    sampling = {name: tf.constant(value) for name, value in Sampling()._asdict().items()}
    penalty = {"length_penalty": settings["length_penalty"]}

    def of_the_best(found: TranslatedTexts) -> dict[str, tf.Tensor]:
        return {name: getattr(found, name)[:, 0] for name in OF_THE_BEST}

    def best(texts: tf.Tensor, **search: tf.Tensor) -> dict[str, tf.Tensor]:
        return of_the_best(graph.translate(texts, Search(**search), retry=True))

    def with_terms(
        texts: tf.Tensor, source_terms: tf.Tensor, target_terms: tf.Tensor, **search: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        return of_the_best(graph.with_glossary(texts, source_terms, target_terms, Search(**search)))

    def n_best(texts: tf.Tensor, **search: tf.Tensor) -> dict[str, tf.Tensor]:
        return graph.translate(texts, Search(**search), hypotheses=search["beam_size"])._asdict()

    def with_prefix(texts: tf.Tensor, prefixes: tf.Tensor, **search: tf.Tensor) -> dict[str, tf.Tensor]:
        hypotheses = search["beam_size"]
        return graph.translate(texts, Search(**search), hypotheses=hypotheses, prefixes=prefixes)._asdict()

    def alternatives(
        texts: tf.Tensor, prefixes: tf.Tensor, alternatives: tf.Tensor, **search: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        return graph.alternatives(texts, prefixes, Search(**search), count=alternatives)._asdict()

    def samples(texts: tf.Tensor, seeds: tf.Tensor, samples: tf.Tensor, **named: tf.Tensor) -> dict[str, tf.Tensor]:
        drawn_from = Sampling(*(named.pop(name) for name in Sampling._fields))
        search = Search(tf.constant(1), **named)
        return graph.sample(texts, seeds, drawn_from, search, count=samples)._asdict()

    def score(texts: tf.Tensor, targets: tf.Tensor, length_penalty: tf.Tensor) -> dict[str, tf.Tensor]:
        return graph.score(texts, targets, length_penalty)._asdict()

    def align(texts: tf.Tensor, targets: tf.Tensor) -> dict[str, tf.Tensor]:
        return graph.align(texts, targets)._asdict()

    def explain(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return graph.explain(text)._asdict()

    def tokenize(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        tokens = graph.vocabulary.encode(texts)
        ids = tokens.to_tensor(PAD)
        return {"ids": ids, "pieces": graph.vocabulary.spell(ids), "lengths": row_lengths(tokens)}

    def detokenize(ids: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"texts": graph.vocabulary.decode(ids)}

    translate = signature(best, [texts], settings)

    def plain(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        found = translate(texts, **settings)
        return {name: found[name] for name in OF_DEFAULT}

    without_beam = {name: value for name, value in settings.items() if name != "beam_size"}
    several = tf.constant(graph.options.beam_size)
    return {
        DEFAULT: signature(plain, [texts]),
        TRANSLATE: translate,
        N_BEST: signature(n_best, [texts], settings),
        PREFIX: signature(with_prefix, [texts, prefixes], settings),
        ALTERNATIVES: signature(alternatives, [texts, prefixes], {"alternatives": several, **settings}),
        GLOSSARY: signature(with_terms, [texts, *terms], settings),
        SAMPLE: signature(samples, [texts, seeds], {"samples": tf.constant(1), **sampling, **without_beam}),
        SCORE: signature(score, [texts, targets], penalty),
        ALIGN: signature(align, [texts, targets]),
        EXPLAIN: signature(explain, [tf.TensorSpec([], tf.string, name="text")]),
        TOKENIZE: signature(tokenize, [texts]),
        DETOKENIZE: signature(detokenize, [ids]),
    }


def signature(
    body: Callable[..., Mapping[str, tf.Tensor]],
    inputs: Sequence[tf.TensorSpec],
    defaults: Mapping[str, tf.Tensor] = {},  # nobody writes to it
) -> Callable[..., Mapping[str, tf.Tensor]]:
    """A function of the named inputs that is traced once, and whose inputs with defaults may be left out.

    TF Serving and the functions of a loaded SavedModel know the defaults; its `signatures` in Python must be told all.

    Args:
        body: Takes the inputs by name.
        inputs: Those that must be given.
        defaults: The others, scalars.
    """
    inputs = [*inputs, *(tf.TensorSpec([], value.dtype, name=name) for name, value in defaults.items())]
    names = [spec.name for spec in inputs]

    def function(*values: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return body(**dict(zip(names, values, strict=True)))

    separate = partial(function)  # TensorFlow counts the tracings of each piece of code, and this one makes several
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind, default=defaults.get(name, inspect.Parameter.empty)) for name in names]
    separate.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # TensorFlow reads it
    separate.__name__ = body.__name__  # type: ignore[attr-defined]
    traced: Any = tf.function(separate, input_signature=inputs, autograph=False)
    return traced


def with_translate(named: Mapping[str, Any]) -> dict[str, Any]:
    """What has the names of signatures; an export from before there was `translate` has it as `serving_default`."""
    return {**named, TRANSLATE: named[TRANSLATE if TRANSLATE in named else DEFAULT]}


def inputs_of(function: Any) -> list[str]:
    """The names of the inputs of a function that `signature` made, or of such a one in a loaded SavedModel."""
    if hasattr(function, "structured_input_signature"):
        return list(function.structured_input_signature[1])
    return [spec.name for spec in function.input_signature]
