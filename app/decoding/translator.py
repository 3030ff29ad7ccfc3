"""Translates lines in order with the signatures of an engine or of an export."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import tensorflow as tf

from keras_nmt.app.decoding.glossary import Glossary
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.search.sampling import Sampling
from keras_nmt.app.decoding.signatures import (
    ALTERNATIVES,
    GLOSSARY,
    N_BEST,
    PREFIX,
    SAMPLE,
    TOKENIZE,
    TRANSLATE,
    Signature,
    Signatures,
    inputs_of,
)
from keras_nmt.app.decoding.text.texts import Search
from keras_nmt.app.errors import UserError

WINDOW_LINES = 4096  # enough to find lines of similar length, and quick to read
BATCH_TOKENS = 4096
SEED_STRIDE = 1_000_003  # distance between the numbers of line 0 for two successive seeds; most corpora are shorter

Column = Sequence[bytes] | np.ndarray  # an input of a signature, one value for each line
OnBatch = Callable[[int], None]  # receives the number of lines of each batch


def _silent(lines: int) -> None:
    """Does nothing. This is the default of the argument `progress`."""


@dataclass(frozen=True)
class Translation:
    """One translation of a line.

    Attributes:
        text: The translated text, which has no line break.
        score: The log-probability divided by a length penalty. Higher is better. Scores of different lines cannot be
            compared.
        confidence: The geometric mean of the tokens' probabilities, from 0 to 1.
        warnings: The names of the warnings, from `output_checks.WARNINGS`.
        tokens: The piece of each token and its log-probability given the tokens before it. The last piece is "</s>".
            This field is empty if the request does not ask for tokens.
        alternatives: The next best translations, best first.
    """

    text: str
    score: float
    confidence: float = 1.0
    warnings: tuple[str, ...] = ()
    tokens: tuple[tuple[str, float], ...] = ()
    alternatives: tuple["Translation", ...] = ()


@dataclass(frozen=True)
class TranslationRequest:
    """What to return for each line.

    Attributes:
        hypotheses: The number of translations: the best one and `hypotheses - 1` alternatives. At most the beam size,
            unless `at_prefix` or `sampling` is set.
        with_tokens: True if translations include their tokens.
        at_prefix: True if the translations of a line must differ in the token after the prefix. False for the best
            translations that begin with the prefix.
        sampling: The distribution that translations are drawn from. None to search for the best translations.
        seed: The seed of the random numbers. The random numbers of a line depend only on this seed and the line number.
        glossary: Pairs of a source term and the target term to use. Only the best translation can use a glossary.
    """

    hypotheses: int = 1
    with_tokens: bool = False
    at_prefix: bool = False
    sampling: Sampling | None = None
    seed: int = 1
    glossary: Glossary = ()

    def signature(self, with_prefixes: bool) -> str:
        """Returns the name of the signature that answers the request, for lines with or without prefixes."""
        if self.sampling:
            return SAMPLE
        if self.at_prefix:
            return ALTERNATIVES
        if self.glossary:
            return GLOSSARY
        if with_prefixes:
            return PREFIX
        return N_BEST if self.hypotheses > 1 or self.with_tokens else TRANSLATE

    def settings(self) -> dict[str, tf.Tensor]:
        """Returns the values of the signature's inputs that depend on this request, by name."""
        if self.sampling:
            types = {"temperature": tf.float32, "top_k": tf.int32, "top_p": tf.float32}
            drawn_from = {name: tf.constant(value, types[name]) for name, value in self.sampling._asdict().items()}
            return {"samples": tf.constant(self.hypotheses), **drawn_from}
        if self.glossary:
            sources, targets = zip(*self.glossary, strict=True)
            return {"source_terms": tf.constant(sources), "target_terms": tf.constant(targets)}
        return {"alternatives": tf.constant(self.hypotheses)} if self.at_prefix else {}


BEST = TranslationRequest()


class Translator:
    """Translates lines in batches of similar length.

    Args:
        signatures: The signatures of an engine, or the attribute `signatures` of a loaded SavedModel.
        options: The settings of the search; None for the engine's defaults. They must not be None if the signatures are
            those of a SavedModel.
        request: What to return for each line.
        batch_tokens: The largest batch size in tokens, padding included: the number of lines in the batch times the
            number of tokens in its longest line. A line with more tokens forms a batch of one line.
        window_lines: The number of lines that are read and sorted by length before the first of them is translated.
        batches_at_once: The number of batches that are translated in parallel, each in its own thread. With a GPU, the
            number is always 1, because GPU memory is the limit.
    """

    def __init__(
        self,
        signatures: Signatures,
        options: DecodingOptions | None = None,
        *,
        request: TranslationRequest = BEST,
        batch_tokens: int = BATCH_TOKENS,
        window_lines: int = WINDOW_LINES,
        batches_at_once: int = 1,
    ) -> None:
        self.signatures = signatures
        self.settings = {**(Search.of(options)._asdict() if options else {}), **request.settings()}
        self.request = request
        self.batch_tokens = batch_tokens
        self.window_lines = window_lines
        self.batches_at_once = 1 if tf.config.list_logical_devices("GPU") else batches_at_once

    def translate(self, lines: Iterable[str], *, progress: OnBatch = _silent) -> list[Translation]:
        """Returns one translation for each line, in order. The translation of an empty line is empty."""
        return list(self.translate_lines(lines, progress=progress))

    def translate_lines(
        self, lines: Iterable[str], *, prefixes: Iterable[str] | None = None, progress: OnBatch = _silent
    ) -> Iterator[Translation]:
        """Yields one translation for each line, in order. Reads `window_lines` lines before it yields the first.

        Args:
            lines: The lines to translate.
            prefixes: The beginning of the translation of each line; None for no prefixes. If the request has `sampling`
                or a glossary, prefixes are ignored.
            progress: Called after each batch with the number of its lines.

        Raises:
            UserError: The engine does not have the signature for the request, or there are fewer or more prefixes than
                lines.
        """
        run_graph = self._function(self.request.signature(with_prefixes=prefixes is not None))
        for option, name in (("--min-length", "min_tokens"), ("--max-length", "max_tokens")):
            if int(self.settings.get(name, 0)) and name not in inputs_of(run_graph):
                raise UserError(f"this export was made before {option} existed; export the run again")
        columns = {name for name in ("prefixes", "seeds") if name in inputs_of(run_graph)}
        remaining = zip_prefixes(lines, prefixes)
        done = 0
        while window := list(islice(remaining, self.window_lines)):
            texts, begun = ([text.encode("utf-8", "replace") for text in side] for side in zip(*window, strict=True))
            seeds = [(self.request.seed * SEED_STRIDE + done + i) % 2**31 for i in range(len(window))]
            given: dict[str, Column] = {"texts": texts, "prefixes": begun, "seeds": np.array(seeds, np.int32)}
            rows = {name: given[name] for name in ("texts", *columns)}
            yield from self._translate_window(run_graph, rows, self._lengths(texts), progress=progress)
            done += len(window)

    def _function(self, name: str) -> Signature:
        if name not in self.signatures:
            wanted = {
                PREFIX: "prefixes",
                ALTERNATIVES: "alternatives after a prefix",
                GLOSSARY: "glossaries",
                SAMPLE: "sampling",
            }
            raise UserError(
                f"this engine does not support {wanted.get(name, name)}; "
                "translate with the run, or export it as a SavedModel"
            )
        return self.signatures[name]

    def _translate_window(
        self, run_graph: Signature, rows: Mapping[str, Column], lengths: np.ndarray, *, progress: OnBatch
    ) -> list[Translation]:
        settings = {name: value for name, value in self.settings.items() if name in inputs_of(run_graph)}

        def run(batch: list[int]) -> dict[str, np.ndarray]:
            of_batch = {name: tf.constant([values[i] for i in batch]) for name, values in rows.items()}
            return {name: values.numpy() for name, values in run_graph(**of_batch, **settings).items()}

        share = -(-int(lengths.sum()) // self.batches_at_once)  # tokens of a batch if each thread gets one
        batches = batches_of_like_length(lengths, min(self.batch_tokens, share))
        by_line: dict[int, Translation] = {}
        with nullcontext() if len(batches) == 1 else ThreadPoolExecutor(self.batches_at_once) as threads:
            for batch, found in zip(batches, (threads.map if threads else map)(run, batches), strict=True):
                for row, line in enumerate(batch):
                    by_line[line] = self._translation({name: values[row] for name, values in found.items()})
                progress(len(batch))
        return [by_line[i] for i in range(len(lengths))]

    def _lengths(self, texts: Sequence[bytes]) -> np.ndarray:
        """Returns the number of tokens of each text, EOS included, or 1 for a single text, which needs no sorting."""
        if len(texts) == 1:
            return np.ones(1, np.int32)
        return 1 + self.signatures[TOKENIZE](texts=tf.constant(texts))["lengths"].numpy()

    def _translation(self, found: Mapping[str, np.ndarray]) -> Translation:
        """Makes a `Translation` from the signature's outputs for one line.

        Each output is [H, …] for H translations, or a scalar if the signature returns only the best translation.
        """
        best, *others = [
            self._one({name: np.atleast_1d(values)[i] for name, values in found.items()})
            for i in range(min(self.request.hypotheses, np.size(found["scores"])))
        ]
        existing = tuple(other for other in others if other.score > -np.inf)
        return Translation(**{**vars(best), "alternatives": existing})

    def _one(self, found: Mapping[str, Any]) -> Translation:
        tokens: Iterable[tuple[str, float]] = ()
        if self.request.with_tokens:
            pieces = [piece.decode("utf-8", "replace") for piece in found["pieces"] if piece]
            tokens = zip(pieces, found["token_log_probabilities"].tolist(), strict=False)
        return Translation(
            text=found["translations"].decode("utf-8", "replace"),
            score=float(found["scores"]),
            confidence=float(found["confidences"]),
            warnings=tuple(found["warnings"].decode().split(",")) if found["warnings"] else (),
            tokens=tuple(tokens),
        )


def zip_prefixes(lines: Iterable[str], prefixes: Iterable[str] | None) -> Iterator[tuple[str, str]]:
    """Yields each line with its prefix. If `prefixes` is None, all prefixes are empty.

    Raises:
        UserError: There are fewer or more prefixes than lines.
    """
    remaining = iter(prefixes) if prefixes is not None else None
    for line in lines:
        prefix = next(remaining, None) if remaining is not None else ""
        if prefix is None:
            raise UserError("there are fewer prefixes than lines; a line needs one prefix, which may be empty")
        yield line, prefix
    if remaining is not None and next(remaining, None) is not None:
        raise UserError("there are more prefixes than lines")


def batches_of_like_length(lengths: Sequence[int] | np.ndarray, batch_tokens: int) -> list[list[int]]:
    """Divides lines into batches of similar length, each with at most `batch_tokens` tokens.

    A line with more than `batch_tokens` tokens is a batch on its own.

    Example: lengths [3, 9, 2, 3] and 8 tokens give [[1], [0, 3], [2]].

    Args:
        lengths: int [N], the number of tokens of each line.
        batch_tokens: The largest number of tokens in a batch, padding included.

    Returns:
        The indices of the lines in each batch. The batch with the longest lines is first. So if the memory is too
        small, the first batch already fails.
    """
    batches: list[list[int]] = []
    longest = 0
    for line in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        if not batches or (len(batches[-1]) + 1) * longest > batch_tokens:
            batches.append([])
            longest = int(lengths[line])
        batches[-1].append(line)
    return batches
