"""The report on kept and dropped pairs: report.json for programs, report.html for people."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from keras_nmt.pipelines.cleaning.filters import CleaningReport
from keras_nmt.pipelines.shards.splits import Split

JSON, PAGE = "report.json", "report.html"
_MAX_BARS = 60  # limit for the histogram of tokens, which has a long tail


def write_report(
    out: Path,
    corpora: Sequence[tuple[str, CleaningReport]],
    splits: Mapping[str, Split],
    histograms: Mapping[tuple[str, int], int],
    *,
    counted: str = "pairs",
) -> None:
    """Writes report.json and report.html.

    Args:
        out: The folder of the prepared data.
        corpora: The specification and the report of each training corpus.
        splits: The splits `train` and `dev`.
        histograms: The number of pairs for each (histogram name, bin).
        counted: What the reports count: "pairs", or "sections" of running text.
    """
    report = {
        "counted": counted,
        "corpora": [{"corpus": name, **report.as_dict()} for name, report in corpora],
        "total": splits["train"].cleaning,
        "dev": splits["dev"].cleaning,
        "tokens": {name: _tokens(split) for name, split in splits.items()},
        "text": {name: asdict(split.text_counts) for name, split in splits.items() if split.text_counts},
        "histograms": {
            **_by_name(histograms),
            "tokens": list(splits["train"].length_histogram),
        },
    }
    for name, text in ((JSON, json.dumps(report, indent=1, ensure_ascii=False) + "\n"), (PAGE, _page(report))):
        # Bytes of file names that are not UTF-8 become escapes.
        (out / name).write_text(text, encoding="utf-8", errors="backslashreplace")


def _tokens(split: Split) -> dict[str, int]:
    return {side: sum(getattr(shard, f"{side}_tokens") for shard in split.shards) for side in ("source", "target")}


def _by_name(histograms: Mapping[tuple[str, int], int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for (name, _), count in sorted(histograms.items()):
        found.setdefault(name, []).append(count)
    return found


def _page(report: Mapping[str, Any]) -> str:
    total = report["total"]
    read = total["kept"] + sum(total["dropped"].values())
    parts = [
        f"<p class=big>{total['kept']:,} of {read:,} {report['counted']} were kept: {_size(report)}</p>",
        "<h2>Corpora</h2>",
        _table_of_corpora(report["corpora"]),
        f"<h2>Dropped {report['counted']} by reason</h2>",
        *(_reason(name, count, total["examples"].get(name, [])) for name, count in _by_count(total["dropped"])),
        "<h2>Lengths</h2>",
        *_histograms(report["histograms"]),
    ]
    return _HTML.format(body="\n".join(parts))


def _size(report: Mapping[str, Any]) -> str:
    tokens = report["tokens"]["train"]
    if text := report["text"].get("train"):
        return (
            f"{text['documents']:,} document(s) with {text['words']:,} words and {text['characters']:,} characters, "
            f"which are {tokens['target']:,} tokens."
        )
    repaired = f"{report['total']['repaired']:,} had mis-decoded text that was repaired."
    return f"{tokens['source']:,} source and {tokens['target']:,} target tokens. {repaired}"


def _histograms(histograms: Mapping[str, Sequence[int]]) -> list[str]:
    """Returns the histograms of the pairs that passed the filters; running text has only that of its blocks."""
    titles = {
        "source_words": "Words of the source",
        "target_words": "Words of the target",
        "ratio_tenths": "Target words to source words, in tenths",
    }
    words = [_histogram(title, histograms[name]) for name, title in titles.items() if name in histograms]
    return [*words, _histogram("Tokens of the longer side, end included", _shortened(histograms["tokens"]))]


def _table_of_corpora(corpora: Sequence[Mapping[str, Any]]) -> str:
    dropped = sum((Counter(corpus["dropped"]) for corpus in corpora), Counter())
    reasons = [name for name, _ in _by_count(dropped)]
    head = "".join(f"<th>{escape(_words(name))}" for name in ("corpus", "kept", *reasons))
    rows = [
        f"<tr><td>{escape(corpus['corpus'])}<td>{corpus['kept']:,}"
        + "".join(f"<td>{corpus['dropped'].get(reason, 0):,}" for reason in reasons)
        for corpus in corpora
    ]
    return f"<div class=wide><table><tr>{head}{''.join(rows)}</table></div>"


def _reason(name: str, count: int, examples: Sequence[Sequence[str]]) -> str:
    rows = "".join(f"<tr><td>{escape(source)}<td>{escape(target)}" for source, target in examples)
    return f"<details><summary>{escape(_words(name))}: {count:,}</summary><table>{rows}</table></details>"


def _histogram(title: str, counts: Sequence[int]) -> str:
    most = max(counts, default=0) or 1
    width = 640 / max(1, len(counts))
    bars = "".join(
        f"<rect x={i * width:.1f} y={100 - 100 * count / most:.1f} width={max(1, width - 1):.1f} "
        f"height={100 * count / most:.1f}><title>{i}: {count:,}</title></rect>"
        for i, count in enumerate(counts)
    )
    last = len(counts) - 1
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 640 100" role=img aria-label="{escape(title)}: histogram from 0 to {last} and more">{bars}'
        f"</svg><div class=axis><span>0</span><span>{last} and more</span></div></figure>"
    )


def _shortened(counts: Sequence[int]) -> list[int]:
    return [*counts[:_MAX_BARS], sum(counts[_MAX_BARS:])]


def _by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _words(name: str) -> str:
    return name.replace("_", " ")


_HTML = """<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width"><title>Prepared data</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
.big {{ font-size: 1.25rem }} .wide {{ overflow-x: auto }}
table {{ border-collapse: collapse; margin: .5rem 0 }}
td, th {{ border-bottom: 1px solid #8886; padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top }}
summary {{ cursor: pointer; font-weight: 600; padding: .25rem 0 }}
figure {{ margin: 1.5rem 0; max-width: 640px }} svg {{ width: 100%; height: 100px }} rect {{ fill: #2a7de1 }}
.axis {{ display: flex; justify-content: space-between; border-top: 1px solid #8888; font-size: .8rem }}
</style>
<h1>Prepared data</h1>
{body}
</html>
"""
