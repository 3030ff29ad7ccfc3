"""Converts text to prepared data in six phases: hold out, clean, deduplicate, learn a vocabulary, encode, assemble.

Each phase processes chunks of the corpora on any number of workers (`phases`, `workers`). Memory use grows by only one
byte per pair. Everything is written to the folder OUT.partial, which is renamed to OUT at the end. So OUT is either
complete or absent. If a preparation was interrupted, the next run with the same options and text continues with the
chunks that are not done.
"""

import hashlib
import importlib.metadata
import shutil

import sentencepiece

from keras_nmt.pipelines.preparation.dropped_pairs import DROPPED, HELD_OUT, join_dropped
from keras_nmt.pipelines.preparation.options import (
    PhaseProgress,
    PreparationOptions,
    default_shards,
    fingerprint,
    open_corpora,
)
from keras_nmt.pipelines.preparation.phases.assemble import assemble
from keras_nmt.pipelines.preparation.phases.clean import clean
from keras_nmt.pipelines.preparation.phases.deduplicate import deduplicate
from keras_nmt.pipelines.preparation.phases.encode import encode
from keras_nmt.pipelines.preparation.phases.hold_out import hold_out
from keras_nmt.pipelines.preparation.phases.learn_vocabulary import learn_vocabulary
from keras_nmt.pipelines.preparation.report import write_report
from keras_nmt.pipelines.preparation.state import Preparation
from keras_nmt.pipelines.preparation.unfinished import WORK, check_out, unfinished
from keras_nmt.pipelines.preparation.workers import Workers, local_workers
from keras_nmt.pipelines.shards.manifest import MANIFEST, VOCABULARY, Manifest
from keras_nmt.pipelines.shards.splits import Split

__all__ = ["PreparationOptions", "default_shards", "prepare"]

_PACKAGES = ("tensorflow", "tensorflow-text", "sentencepiece", "tensorflow-datasets", "numpy", "ftfy", "rensa")


def _silent(phase: str, done: int, total: int | None) -> None:
    """Ignores the progress; this is the default for the argument `progress` of `prepare`."""


def prepare(
    options: PreparationOptions, *, workers: Workers | None = None, progress: PhaseProgress = _silent
) -> Manifest:
    """Writes prepared data to `options.out` and returns its manifest; the same options and text give the same bytes.

    The workers are new processes, and each of them imports the calling script again. So a script must call this
    function below `if __name__ == "__main__":`.

    Args:
        options: The options of the preparation.
        workers: The processes or machines that run the phases; if None, one local process per core.
        progress: A function that is called from time to time with three arguments: the name of a phase (`download`,
            `clean`, `duplicates`, `vocabulary`, `encode` or `shards`), the number of pairs that the phase has finished,
            and the number of all pairs of the phase, or None if that is unknown. For `download` the two numbers count
            bytes instead of pairs, and for `duplicates` they count columns of hash keys.

    Raises:
        DataError: `out` exists and `force` is not set, a corpus or the vocabulary cannot be used, cleaning leaves no
            pair, or another process is writing to `out`.
    """
    if workers is None:
        with local_workers(None) as of_this_machine:
            return prepare(options, workers=of_this_machine, progress=progress)
    out = options.out.resolve()
    check_out(out, options.force)
    opened = open_corpora(options, progress)
    with unfinished(out, fingerprint(options, opened), force=options.force) as partial_out:
        work = partial_out / WORK
        if not (partial_out / MANIFEST).is_file():
            _run_phases(Preparation.start(options, opened, work, workers, progress))
        shutil.rmtree(work, ignore_errors=True)
    return Manifest.load(out)


def _run_phases(preparation: Preparation) -> None:
    """Runs the phases in order; the manifest, which marks the data as complete, is written last."""
    dev_set = hold_out(preparation)
    clean(preparation)
    deduplicate(preparation)
    learn_vocabulary(preparation)
    encode(preparation)
    train = assemble(preparation)
    splits = {"train": train, "dev": dev_set.write(preparation.job)}
    _write_report(preparation, splits)
    _write_manifest(preparation, splits)


def _write_report(preparation: Preparation, splits: dict[str, Split]) -> None:
    """Writes the report of the preparation and the files of dropped pairs."""
    job = preparation.job
    corpora = [one.spec.text for one in preparation.opened.train]
    reports = list(zip(corpora, preparation.reports, strict=True))
    write_report(job.out, reports, splits, preparation.histograms, counted=job.recipe.counted)
    for name in (DROPPED, HELD_OUT):
        join_dropped(job, name, len(preparation.chunks))


def _write_manifest(preparation: Preparation, splits: dict[str, Split]) -> None:
    job, languages = preparation.job, preparation.job.languages
    model = job.vocabulary.read_bytes()
    (job.out / VOCABULARY).write_bytes(model)
    Manifest(
        data_dir=job.out,
        pair=languages.pairs[0],
        pairs=languages.pairs,
        domains=languages.domains,
        vocabulary_size=sentencepiece.SentencePieceProcessor(model_proto=model).get_piece_size(),
        vocabulary_digest=hashlib.sha256(model).hexdigest(),
        splits=splits,
        options=preparation.options.recorded(),
        versions={package: importlib.metadata.version(package) for package in _PACKAGES},
        task=preparation.options.recipe.task,
    ).save()
