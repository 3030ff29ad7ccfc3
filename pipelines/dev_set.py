"""The dev set of prepared data: one shard, and the raw text beside it, as translations are scored against people's."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import sentencepiece

from pipelines.chunks import encode
from pipelines.cleaning import CleaningReport, decode
from pipelines.corpora import Corpus
from pipelines.errors import DataError
from pipelines.manifest import Split
from pipelines.records import IdPair, length_histogram, write_shards
from pipelines.tags import Tagger


class DevCorpus(NamedTuple):
    """One of the corpora of a dev set, and what puts its tags before its sources."""

    corpus: Corpus
    tagger: Tagger


def write_dev_set(
    out: Path, vocabulary: Path, corpora: Sequence[DevCorpus], names: tuple[str, str], max_tokens: int
) -> Split:
    """Writes the pairs that have text; all of their text is kept, and those are encoded that are not too long.

    Args:
        out: The folder of the prepared data.
        vocabulary: The SentencePiece model.
        corpora: Read in their order.
        names: Of the files of raw text, source and target.
        max_tokens: The most of a side, EOS counted.

    Raises:
        DataError: No pair is left.
    """
    report = CleaningReport()
    processor = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary))
    encoded: list[IdPair] = []
    with (out / names[0]).open("wb") as sources, (out / names[1]).open("wb") as targets:
        for corpus, with_tags in corpora:
            for pair in corpus:
                text = decode(pair.source, pair.target)
                if text is None or not all(side.strip() for side in text):
                    report.drop("empty" if text else "undecodable", pair.source, pair.target)
                    continue
                report.kept += 1
                source = with_tags(text[0])
                sources.write(source.encode() + b"\n")
                targets.write(pair.target + b"\n")
                ids = encode(processor, [source, text[1]])
                if max(map(len, ids)) > max_tokens:
                    report.take_back("too_many_tokens", *text)
                else:
                    encoded.append((ids[0], ids[1]))
    return _split(out, encoded, corpora, names, report)


def _split(
    out: Path, encoded: list[IdPair], corpora: Sequence[DevCorpus], names: tuple[str, str], report: CleaningReport
) -> Split:
    if not encoded:
        specs = ", ".join(corpus.spec for corpus, _ in corpora)
        raise DataError(f"corpus {specs} leaves no pair to evaluate on: {'; '.join(report.lines())}")
    shards = write_shards(out, "dev", encoded, 1)
    origins = tuple(corpus.origin for corpus, _ in corpora)
    return Split(shards, length_histogram(out, shards), report.as_dict(), origins, names)
