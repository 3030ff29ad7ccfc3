"""Versions of exports on disk: their folders, names and numbers."""

import re
from pathlib import Path

from keras_nmt.app.models.export_layout import newest_version, versions

NUMBER = re.compile("[1-9][0-9]*")


def exports_at(path: Path) -> dict[str, list[Path]]:
    """Finds exports.

    Args:
        path: An export, one version of an export, or a folder of exports. In such a folder, names that begin with a dot
            are skipped, because other programs write unfinished exports under them.

    Returns:
        The folders of the versions, the newest first, by the name of the export.
    """
    folders = versions_of(path) or [path][: newest_version(path) is not None]
    if folders:
        return {name_of_export(folders[0]): folders}
    if not path.is_dir():
        return {}
    visible = [folder for folder in sorted(path.iterdir()) if not folder.name.startswith(".")]
    return {folder.name: folders for folder in visible if (folders := versions_of(folder))}


def versions_of(export: Path) -> list[Path]:
    """Returns the folders of an export's versions, the newest first; none if the export cannot be read."""
    try:
        return [export / str(number) for number in reversed(versions(export))]
    except PermissionError:
        return []


def version_number(version: Path) -> int:
    """Returns the number that a version's folder is named by, or 1 if its name is not a number."""
    name = numbered_path(version).name
    return int(name) if NUMBER.fullmatch(name) else 1


def name_of_export(version: Path) -> str:
    """Returns the name of a version's export: its parent folder, or the folder itself if its name is not a number."""
    folder = numbered_path(version)
    return (NUMBER.fullmatch(folder.name) and folder.parent.resolve().name) or folder.name


def numbered_path(version: Path) -> Path:
    """Returns the path of a version, with symbolic links resolved if its name is not a number."""
    return version if NUMBER.fullmatch(version.name) else version.resolve()


def last_modified(folder: Path) -> float:
    """Returns when a version's files were last modified, in seconds since the epoch."""
    return max((file.stat().st_mtime for file in folder.rglob("*")), default=0.0)
