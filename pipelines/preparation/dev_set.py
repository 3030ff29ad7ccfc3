"""The dev set of prepared data: one shard, and two text files with the sources and the reference targets for BLEU.

The dev set of a language model has one text file instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from keras_nmt.pipelines.cleaning.filters import CleaningReport, TextPair, decode
from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.preparation.job import Job
from keras_nmt.pipelines.preparation.recipes import Recipe
from keras_nmt.pipelines.shards.records import IdPair, length_histogram, write_shards
from keras_nmt.pipelines.shards.splits import Split
from keras_nmt.pipelines.sources.corpora import Corpus, RawPair
from keras_nmt.pipelines.vocabulary.tags import Tagger
from keras_nmt.pipelines.vocabulary.words import processor_of


class DevCorpus(NamedTuple):
    """One corpus of a dev set: its raw pairs, and a function that puts the tags of the corpus before a source text."""

    corpus: Corpus
    raw: Sequence[RawPair]
    tagger: Tagger


class DevPair(NamedTuple):
    """A source with its tags, the target, and the bytes of the target as they were read.

    Running text has no sources; see `pipelines.sources.monolingual.running_text`.
    """

    source: str
    target: str
    raw_target: bytes


@dataclass(frozen=True)
class DevSet:
    """The pairs of a dev set, without malformed, undecodable and empty pairs.

    Attributes:
        pairs: The pairs of all corpora.
        report: The report of kept and dropped pairs.
        corpora: The corpora that the pairs come from.
    """

    pairs: list[DevPair]
    report: CleaningReport
    corpora: Sequence[Corpus]

    @classmethod
    def read(cls, corpora: Sequence[DevCorpus], recipe: Recipe) -> "DevSet":
        """Collects the pairs of all corpora in order. Drops malformed, undecodable and empty pairs, and no others.

        Raises:
            DataError: No pair is left.
        """
        pairs: list[DevPair] = []
        report = CleaningReport()
        for _, raw, with_tags in corpora:
            found = [_usable(pair, recipe, report) for pair in raw]
            targets = (pair.target for pair, text in zip(raw, found, strict=True) if text)
            pairs += (
                DevPair(with_tags(source), target, raw_target)
                for (source, target), raw_target in zip(recipe.remaining(found), targets, strict=True)
            )
        if not pairs:
            specs = ", ".join(one.corpus.spec for one in corpora)
            raise DataError(f"corpus {specs} leaves no pair to evaluate on: {'; '.join(report.lines())}")
        return cls(pairs, report, [one.corpus for one in corpora])

    def write(self, job: Job) -> Split:
        """Writes the text of all pairs, and a shard with the examples that are not too long; returns the split.

        An example is too long if its source or target has more than `Job.max_tokens` tokens.

        Raises:
            DataError: All pairs are too long.
        """
        report = replace(self.report, dropped=dict(self.report.dropped), examples=dict(self.report.examples))
        shards = write_shards(job.out, "dev", self._encoded(job, report), 1)
        origins = tuple(corpus.origin for corpus in self.corpora)
        split = Split(shards, length_histogram(job.out, shards), report.as_dict(), origins)
        return self._with_running_text(job, split) if job.recipe.keeps_text else self._with_sides(job, split)

    def _with_sides(self, job: Job, split: Split) -> Split:
        """Writes the two sides line by line."""
        main = job.languages.pairs[0]
        names = f"dev.{main.source}", f"dev.{main.target}"
        (job.out / names[0]).write_bytes(b"".join(pair.source.encode() + b"\n" for pair in self.pairs))
        (job.out / names[1]).write_bytes(b"".join(pair.raw_target + b"\n" for pair in self.pairs))
        return replace(split, text=names)

    def _with_running_text(self, job: Job, split: Split) -> Split:
        """Writes the documents, each with a line end after it if it has none."""
        name = f"dev.{job.languages.pairs[0].target}"
        ends = (b"" if pair.source or pair.target.endswith("\n") else b"\n" for pair in self.pairs)
        (job.out / name).write_bytes(
            b"".join(pair.raw_target + end for pair, end in zip(self.pairs, ends, strict=True))
        )
        counts = job.recipe.text_counts((pair.source, pair.target) for pair in self.pairs)
        return replace(split, running_text=name, text_counts=counts)

    def _encoded(self, job: Job, report: CleaningReport) -> list[IdPair]:
        """Returns the token ids of the examples that are not too long; counts other pairs as dropped in `report`."""
        processor = processor_of(job.vocabulary.read_bytes())
        encoded: list[IdPair] = []
        pairs = [(pair.source, pair.target) for pair in self.pairs]
        fitting, report.cut = job.recipe.fitting(processor, pairs, job.max_tokens)
        for pair, ids in job.recipe.examples(processor, fitting, job.max_tokens):
            if max(map(len, ids)) > job.max_tokens:
                report.drop_kept("too_many_tokens", *pairs[pair])
            else:
                encoded.append(ids)
        if not encoded:
            raise DataError(f"every pair of the dev set has more than {job.max_tokens} tokens; raise --max-tokens")
        return encoded


def _usable(pair: RawPair, recipe: Recipe, report: CleaningReport) -> TextPair | None:
    """Returns the text of a pair, or None if it is malformed, undecodable or empty; counts it in `report`."""
    text = decode(pair.source, pair.target)
    if pair.malformed:
        report.drop("malformed", pair.source, pair.malformed.in_short)
    elif text and recipe.has_text(*text):
        report.kept += 1
        return text
    else:
        report.drop("empty" if text else "undecodable", pair.source, pair.target)
    return None
