"""The state of a running preparation: the results of the phases so far. Only the main process has this state."""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path

import numpy as np

from keras_nmt.pipelines.cleaning.filters import CleaningReport
from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.preparation.job import KEPT, ChunkedCorpus, CleanedChunk, Job
from keras_nmt.pipelines.preparation.options import OpenedCorpora, PhaseProgress, PreparationOptions, default_shards
from keras_nmt.pipelines.preparation.workers import Workers
from keras_nmt.pipelines.shards.splits import TextCounts
from keras_nmt.pipelines.vocabulary.exact import PIECES, WORDS


@dataclass
class Preparation:
    """The inputs of a preparation and the results of the phases that have run.

    Attributes:
        options: The user's options.
        opened: The opened corpora.
        job: The settings that every worker needs.
        workers: The processes or machines that run the functions of each phase.
        progress: The function that is called with the progress of each phase, as described in `prepare`.
        chunks: The statistics of the cleaned chunks, in the order of their numbers. The fields `report` and
            `histograms` of these objects are empty. Their sums are in `reports` and `histograms` below.
        reports: The report of kept and dropped pairs, for each training corpus.
        examples: The number of encoded examples of each training corpus.
        text_counts: The size of the encoded running text; None if the examples are pairs.
        histograms: The sums of the histograms of all chunks.
    """

    options: PreparationOptions
    opened: OpenedCorpora
    job: Job
    workers: Workers
    progress: PhaseProgress
    chunks: list[CleanedChunk] = field(default_factory=list)
    reports: list[CleaningReport] = field(default_factory=list)
    examples: list[int] = field(default_factory=list)
    text_counts: TextCounts | None = None
    histograms: Counter[tuple[str, int]] = field(default_factory=Counter)

    @classmethod
    def start(
        cls, options: PreparationOptions, opened: OpenedCorpora, work: Path, workers: Workers, progress: PhaseProgress
    ) -> "Preparation":
        """Creates the working folder `work`, and returns a preparation without results.

        The phases will write the shards to the parent of the working folder.
        """
        work.mkdir(exist_ok=True)
        skip = dict.fromkeys((*options.cleaning.skip, *options.recipe.unused_filters))
        job = Job(
            work=work,
            out=work.parent,
            corpora=tuple(ChunkedCorpus(c.pair, c.spec.tag, c.spec.loss_weight) for c in opened.train),
            languages=opened.languages,
            cleaning=replace(options.cleaning, skip=tuple(skip)),
            keep_dropped=options.keep_dropped,
            max_tokens=options.max_tokens,
            seed=options.seed,
            recipe=options.recipe,
        )
        reports = [CleaningReport() for _ in opened.train]
        return cls(options, opened, job, workers, progress, reports=reports, examples=[0] * len(reports))

    @property
    def pairs(self) -> int:
        """The number of cleaned pairs of all chunks, before deduplication."""
        return sum(chunk.pairs for chunk in self.chunks)

    @property
    def kept(self) -> int:
        """The number of pairs left after deduplication and the user's limit, including pairs that are too long."""
        return int((np.load(self.job.removed, mmap_mode="r") == KEPT).sum())

    @property
    def starts(self) -> list[tuple[int, int]]:
        """For each chunk, its number, and the index of its first cleaned pair among the cleaned pairs of all chunks."""
        starts = [0, *accumulate(chunk.pairs for chunk in self.chunks)]
        return list(enumerate(starts[:-1]))

    @property
    def shard_names(self) -> list[str]:
        """The file names of the training shards."""
        expected, least = self._expected_examples()
        shards = min(self.options.shards or default_shards(expected), least)
        return [f"train-{i:05d}-of-{shards:05d}.tfrecord" for i in range(shards)]

    def _expected_examples(self) -> tuple[int, int]:
        """Returns the expected and the least number of examples that the kept pairs yield.

        The tokens of running text are not counted before they are encoded, but the number of shards must be known
        then. A piece has about 4 characters, and SentencePiece learns none with more than 16. A word and the space
        before it have about 6.
        """
        if not self.options.recipe.keeps_text:
            return self.kept, self.kept
        characters = sum(chunk.characters for chunk in self.chunks) * self.kept / self.pairs
        usual, most = {PIECES: (4, 16), WORDS: (6, 32)}.get(self.options.units, (1, 1))
        blocks = characters / self.options.max_tokens
        return max(1, int(blocks / usual)), max(1, int(blocks / most))

    def total_report(self) -> CleaningReport:
        """Returns the sum of the reports of all training corpora."""
        total = CleaningReport()
        for report in self.reports:
            total.add(report)
        return total

    def counter(self, phase: str, total: int | None) -> Callable[[int], None]:
        """Returns a function that reports the progress of a phase.

        The function takes the number of pairs that were finished since the last call, and reports the sum of these
        numbers.

        Args:
            phase: The name of the phase whose progress is reported.
            total: The number of all pairs of the phase, or None if it is unknown.
        """
        done = 0

        def advance(pairs: int) -> None:
            nonlocal done
            done += pairs
            self.progress(phase, done, total)

        advance(0)
        return advance

    def check_some_left(self, pairs: int) -> None:
        """Raises a `DataError` if no pair is left. The message says why pairs were dropped.

        `pairs` is the number of pairs that are left. Before the error is raised, the working folder is removed.
        """
        if not pairs:
            shutil.rmtree(self.job.work)  # resuming would fail again
            lines = "; ".join(self.total_report().lines())
            raise DataError(f"cleaning left no pair of {', '.join(self.options.corpora)}: {lines}")
