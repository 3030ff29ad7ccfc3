"""Where things lie in an export: EXPORT/VERSION/saved_model.pb, as TF Serving wants it; the newest version counts."""

import re
from pathlib import Path

DESCRIPTION = Path("assets.extra") / "nmt.json"  # TF Serving leaves assets.extra alone


def versions(export: Path) -> list[int]:
    """The published versions of an export, ascending."""
    if not export.is_dir():
        return []
    return sorted(
        int(p.name)
        for p in export.iterdir()
        if re.fullmatch(r"[1-9][0-9]*", p.name) and (p / "saved_model.pb").is_file()
    )


def newest_version(path: Path) -> Path | None:
    """The folder to load: the newest version of an export, or `path` itself if it is a version; else None."""
    if (path / "saved_model.pb").is_file():
        return path
    published = versions(path)
    return path / str(published[-1]) if published else None
