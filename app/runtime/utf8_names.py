"""Names in UTF-8 for folders whose own are not: TensorFlow and CTranslate2 open no others."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path


def in_utf8(folder: Path) -> str:
    """Returns the folder's name, or that of a link to it, which lasts as long as the program; makes it if need be."""
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
