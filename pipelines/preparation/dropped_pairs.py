"""Files of dropped pairs. The phases write separate files for each chunk, and the files are joined at the end."""

import gzip

from keras_nmt.pipelines.atomic_files import write_atomically
from keras_nmt.pipelines.cleaning.filters import CleaningReport, DroppedPair
from keras_nmt.pipelines.preparation.job import Job

HELD_OUT, DROPPED = "held_out", "dropped"


def write_dropped(job: Job, number: int, phase: str, report: CleaningReport) -> None:
    """Writes the pairs that a phase dropped from a chunk.

    Pairs whose text occurs in a dev or test set are always written to a file of their own, so that the user can look at
    them. If `Job.keep_dropped` is True, all dropped pairs are also written to a second file.

    Args:
        job: The settings of the preparation.
        number: The number of the chunk.
        phase: The name of the phase, which becomes part of the file names.
        report: The report of the phase; its list `everything` has the dropped pairs.
    """
    dropped = report.everything or []
    for name, chosen in ((HELD_OUT, [pair for pair in dropped if pair.reason == "held_out"]), (DROPPED, dropped)):
        if chosen and (name == HELD_OUT or job.keep_dropped):
            lines = "".join(map(_dropped_line, chosen)).encode(errors="backslashreplace")
            compressed = gzip.compress(lines, compresslevel=1, mtime=0)
            write_atomically(job.file(number, f"{phase}.{name}.tsv.gz"), compressed)


def join_dropped(job: Job, name: str, chunks: int) -> None:
    """Joins files of dropped pairs, in the order of the chunks, into one file `name`.tsv.gz in the output folder.

    If no pairs were dropped, no file is written. The files are only concatenated, since several gzip files in a row are
    one valid gzip file.

    Args:
        job: The settings of the preparation.
        name: The kind of files, `HELD_OUT` or `DROPPED`.
        chunks: The number of chunks whose files are joined, counted from the first chunk.
    """
    found = sorted(job.work.glob(f"*.{name}.tsv.gz"))
    found = [path for path in found if int(path.name[:6]) < chunks]  # later chunks are not used, because of the limit
    if found:
        with (job.out / f"{name}.tsv.gz").open("wb") as file:
            file.write(gzip.compress(b"reason\tsource\ttarget\n", mtime=0))
            for part in found:
                file.write(part.read_bytes())


def _dropped_line(pair: DroppedPair) -> str:
    sides = (pair.source, pair.target)
    texts = (side.decode(errors="backslashreplace") if isinstance(side, bytes) else side for side in sides)
    return "\t".join([pair.reason, *(" ".join(text.split()) for text in texts)]) + "\n"
