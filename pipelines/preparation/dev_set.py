"""The dev set of prepared data: one shard, and the raw text beside it, as translations are scored against people's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import sentencepiece

from pipelines.cleaning.filters import CleaningReport, decode
from pipelines.errors import DataError
from pipelines.preparation.chunks import encode
from pipelines.shards.manifest import Split
from pipelines.shards.records import IdPair, length_histogram, write_shards
from pipelines.sources.corpora import Corpus, RawPair
from pipelines.vocabulary.tags import Tagger


class DevCorpus(NamedTuple):
    """One of the corpora of a dev set, all that was read of it, and what puts its tags before its sources."""

    corpus: Corpus
    raw: Sequence[RawPair]
    tagger: Tagger


@dataclass(frozen=True)
class DevSet:
    """Pairs that have text: the source with its tags, and the target decoded and raw."""

    pairs: list[tuple[str, str, bytes]]
    report: CleaningReport
    corpora: Sequence[Corpus]

    @classmethod
    def read(cls, corpora: Sequence[DevCorpus]) -> "DevSet":
        """Takes the pairs of corpora in their order; of the filters, only those for undecodable and empty ones apply.

        Raises:
            DataError: No pair is left.
        """
        pairs, report = [], CleaningReport()
        for _, raw, with_tags in corpora:
            for pair in raw:
                text = decode(pair.source, pair.target)
                if pair.malformed:
                    report.drop("malformed", pair.source, pair.malformed.in_short)
                elif text and all(side.strip() for side in text):
                    report.kept += 1
                    pairs.append((with_tags(text[0]), text[1], pair.target))
                else:
                    report.drop("empty" if text else "undecodable", pair.source, pair.target)
        if not pairs:
            specs = ", ".join(one.corpus.spec for one in corpora)
            raise DataError(f"corpus {specs} leaves no pair to evaluate on: {'; '.join(report.lines())}")
        return cls(pairs, report, [one.corpus for one in corpora])

    def write(self, out: Path, vocabulary: Path, names: tuple[str, str], max_tokens: int) -> Split:
        """Writes all text, and a shard of the pairs that are not too long.

        Args:
            out: The folder of the prepared data.
            vocabulary: The SentencePiece model.
            names: Of the files of raw text, source and target.
            max_tokens: The most of a side, EOS counted.

        Raises:
            DataError: All pairs are too long.
        """
        (out / names[0]).write_bytes(b"".join(source.encode() + b"\n" for source, _, _ in self.pairs))
        (out / names[1]).write_bytes(b"".join(raw + b"\n" for _, _, raw in self.pairs))
        processor = sentencepiece.SentencePieceProcessor(model_proto=vocabulary.read_bytes())  # a name must be UTF-8
        report = replace(self.report, dropped=dict(self.report.dropped), examples=dict(self.report.examples))
        encoded: list[IdPair] = []
        for source, target, _ in self.pairs:
            ids = encode(processor, [source, target])
            if max(map(len, ids)) > max_tokens:
                report.take_back("too_many_tokens", source, target)
            else:
                encoded.append((ids[0], ids[1]))
        if not encoded:
            raise DataError(f"every pair of the dev set has more than {max_tokens} tokens; raise --max-tokens")
        shards = write_shards(out, "dev", encoded, 1)
        origins = tuple(corpus.origin for corpus in self.corpora)
        return Split(shards, length_histogram(out, shards), report.as_dict(), origins, names)
