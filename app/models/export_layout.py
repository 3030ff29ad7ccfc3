"""The files of an export: EXPORT/VERSION/saved_model.pb, as TF Serving expects them.

A version in CTranslate2's format has model.bin instead of saved_model.pb. The version with the highest number is used.
"""

import re
from pathlib import Path

EXTRA = Path("assets.extra")  # TF Serving reads only the warm-up file here
DESCRIPTION = EXTRA / "nmt.json"
ENGINE = EXTRA / "ctranslate2"  # the same weights for CTranslate2, which is faster on a CPU; optional
GENERATION_VOCABULARY = EXTRA / "vocabulary.model"  # the vocabulary of a language model
WARM_UP = EXTRA / "tf_serving_warmup_requests"
MODEL_CARD = "README.md"
MODEL_FILES = ("saved_model.pb", "model.bin")


def versions(export: Path) -> list[int]:
    """Returns the numbers of the published versions of an export, ascending."""
    if not export.is_dir():
        return []
    return sorted(int(p.name) for p in export.iterdir() if re.fullmatch(r"[1-9][0-9]*", p.name) and _is_version(p))


def newest_version(path: Path) -> Path | None:
    """Returns the folder to load: `path` if it is a version, else the newest version in `path`, or None if none exists.

    The newest version is the one with the highest number.
    """
    if _is_version(path):
        return path
    published = versions(path)
    return path / str(published[-1]) if published else None


def is_ctranslate2(version: Path) -> bool:
    """Returns True if a version is in CTranslate2's format."""
    return (version / "model.bin").is_file()


def _is_version(path: Path) -> bool:
    return any((path / name).is_file() for name in MODEL_FILES)
