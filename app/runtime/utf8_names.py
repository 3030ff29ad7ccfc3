"""UTF-8 names for folders with other names, because TensorFlow and CTranslate2 open only UTF-8 names."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path


def in_utf8(folder: Path) -> str:
    """Returns the folder's name if it is UTF-8, else that of a symbolic link to it that is removed at exit.

    In the latter case the folder is created if it is missing.
    """
    name = str(folder)
    try:
        name.encode()
    except UnicodeEncodeError:
        folder.mkdir(parents=True, exist_ok=True)
        return _linked(folder.absolute())
    return name


@cache
def _linked(folder: Path) -> str:
    links = Path(tempfile.mkdtemp(prefix="nmt-"))
    atexit.register(shutil.rmtree, links, ignore_errors=True)
    (links / "folder").symlink_to(folder, target_is_directory=True)
    return str(links / "folder")
