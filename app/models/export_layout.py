"""Where things lie in an export: EXPORT/VERSION/saved_model.pb, as TF Serving wants it; the newest version counts.

A version in CTranslate2's format has model.bin in its place.
"""

import re
from pathlib import Path

EXTRA = Path("assets.extra")  # TF Serving leaves it alone, but for its warm-up file
DESCRIPTION = EXTRA / "nmt.json"
ENGINE = EXTRA / "ctranslate2"  # the same weights for CTranslate2, which is faster on a CPU; may be missing
WARM_UP = EXTRA / "tf_serving_warmup_requests"
MODEL_CARD = "README.md"
MODEL_FILES = ("saved_model.pb", "model.bin")


def versions(export: Path) -> list[int]:
    """The published versions of an export, ascending."""
    if not export.is_dir():
        return []
    return sorted(int(p.name) for p in export.iterdir() if re.fullmatch(r"[1-9][0-9]*", p.name) and _is_version(p))


def newest_version(path: Path) -> Path | None:
    """The folder to load: the newest version of an export, or `path` itself if it is a version; else None."""
    if _is_version(path):
        return path
    published = versions(path)
    return path / str(published[-1]) if published else None


def is_ctranslate2(version: Path) -> bool:
    """Whether a version is in CTranslate2's format."""
    return (version / "model.bin").is_file()


def _is_version(path: Path) -> bool:
    return any((path / name).is_file() for name in MODEL_FILES)
