"""Finds exports on disk, and the folders, names and numbers of their versions."""

import re
from pathlib import Path

from keras_nmt.app.models.export_layout import newest_version, versions

NUMBER = re.compile("[1-9][0-9]*")


def exports_at(path: Path) -> dict[str, list[Path]]:
    """Finds the exports at a path.

    Args:
        path: An export, one version of an export, or a folder of exports. In a folder of exports, folders whose names
            begin with a dot are skipped, because other programs give such names to unfinished exports.

    Returns:
        The folders of each export's versions, the newest version first, by the name of the export.
    """
    folders = versions_of(path) or [path][: newest_version(path) is not None]
    if folders:
        return {name_of_export(folders[0]): folders}
    if not path.is_dir():
        return {}
    visible = [folder for folder in sorted(path.iterdir()) if not folder.name.startswith(".")]
    return {folder.name: folders for folder in visible if (folders := versions_of(folder))}


def without_export(path: Path) -> str:
    """Returns the message that there is no export at a path, with what to do instead."""
    if (path / "config.toml").is_file():  # as a run has
        return (
            f"{path} is a run and holds no export; export it with `nmt export {path} --out EXPORT`, or serve it with "
            f"`nmt serve {path} --inside`, on this machine only"
        )
    return f"{path} holds no export; expected one that `nmt export RUN --out EXPORT` wrote, or a folder of exports"


def versions_of(export: Path) -> list[Path]:
    """Returns the folders of an export's versions, the newest first, or [] if access is denied."""
    try:
        return [export / str(number) for number in reversed(versions(export))]
    except PermissionError:
        return []


def version_number(version: Path) -> int:
    """Returns the number in the name of a version's folder, or 1 if the name is not a number."""
    name = numbered_path(version).name
    return int(name) if NUMBER.fullmatch(name) else 1


def name_of_export(version: Path) -> str:
    """Returns the name of the export that contains a version.

    If the name of the version's folder is a number, the export has the name of the parent folder. Otherwise, the export
    has the name of the version's folder.
    """
    folder = numbered_path(version)
    return (NUMBER.fullmatch(folder.name) and folder.parent.resolve().name) or folder.name


def numbered_path(version: Path) -> Path:
    """Returns the path of a version. If the folder's name is not a number, symbolic links are resolved."""
    return version if NUMBER.fullmatch(version.name) else version.resolve()


def last_modified(folder: Path) -> float:
    """Returns the last modification time of the files in a folder, in seconds since the epoch, or 0 without files."""
    return max((file.stat().st_mtime for file in folder.rglob("*")), default=0.0)
