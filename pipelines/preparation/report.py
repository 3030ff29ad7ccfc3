"""The report on kept and dropped pairs: report.json for programs, report.html for people.

`report.html.jinja` is the text of the page; the functions here compute the values in it.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_nmt.pipelines.cleaning.filters import CleaningReport
from keras_nmt.pipelines.shards.splits import Split

if TYPE_CHECKING:
    from jinja2 import Template

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
    return _template().render(
        report,
        pairs_read=total["kept"] + sum(total["dropped"].values()),
        reasons=_most_first(total["dropped"]),
        corpora_reasons=_most_first(sum((Counter(corpus["dropped"]) for corpus in report["corpora"]), Counter())),
    )


def _template() -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # not in the processes that clean text

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=_escaped,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "bars": _bars,
        "shortened": _shortened,
        "thousands": "{:,}".format,
        "words": lambda name: name.replace("_", " "),
    }
    return environment.get_template("report.html.jinja")


def _escaped(value: Any) -> Any:
    """Escapes a string as Python's library does (`&#x27;`), not as Jinja (`&#39;`), so that reports stay the same."""
    from jinja2.filters import do_mark_safe

    return do_mark_safe(escape(value)) if type(value) is str else value


class _Bar(NamedTuple):
    """A bar of a histogram, in units of the picture, and the number of pairs that it stands for."""

    x: float
    y: float
    width: float
    height: float
    pairs: int


def _bars(counts: Sequence[int]) -> list[_Bar]:
    """Computes the bars of a histogram: 640 wide together, the longest 100 high."""
    most = max(counts, default=0) or 1
    width = 640 / max(1, len(counts))
    heights = [100 * count / most for count in counts]
    return [
        _Bar(i * width, 100 - height, max(1, width - 1), height, count)
        for i, (height, count) in enumerate(zip(heights, counts, strict=True))
    ]


def _shortened(counts: Sequence[int]) -> list[int]:
    return [*counts[:_MAX_BARS], sum(counts[_MAX_BARS:])]


def _most_first(counts: Mapping[str, int]) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))
