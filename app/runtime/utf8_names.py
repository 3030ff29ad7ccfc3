"""UTF-8 names for folders whose names are not UTF-8. TensorFlow and CTranslate2 can open only UTF-8 names."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path


def in_utf8(folder: Path) -> str:
    """Returns the folder's name if it is UTF-8, else the name of a symbolic link to the folder.

    The link is removed when the process exits. If the folder is missing and needs a link, the folder is created first.
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
