"""Puts the modules of the page into an import map of `data:` URLs, for a page that is read from a file.

Browsers refuse `import` of files from a page at `file://`. They accept bare names, such as "nmt/elements.js", that an
import map maps to the text of a module. So each relative name in a module is replaced by a bare name.
"""

import base64
import posixpath
import re
from pathlib import Path

IMPORT = re.compile(r'(\bfrom\s+|^\s*import\s+)"(\.{1,2}/[^"\n]+)"', re.MULTILINE)  # not import(…): its name can vary
PREFIX = "nmt/"  # of the bare names


def import_map(folder: Path, entry: str) -> dict[str, str]:
    """Returns the `data:` URL of a module, and of all modules that it imports, by bare name.

    Args:
        folder: The folder of all modules.
        entry: The path of the module in the folder, such as "inside/saved.js".
    """
    found: dict[str, str] = {}
    left = [entry]
    while left:
        path = left.pop()
        if PREFIX + path in found:
            continue
        text = (folder / path).read_text(encoding="utf-8")
        found[PREFIX + path] = data_url(with_bare_names(text, path), "text/javascript")
        left += [resolved(name, path) for _, name in IMPORT.findall(text)]
    return found


def with_bare_names(text: str, path: str) -> str:
    """Replaces the relative names in the module at `path`: in "a/b.js", "../c.js" becomes "nmt/c.js"."""
    return IMPORT.sub(lambda found: f'{found[1]}"{PREFIX}{resolved(found[2], path)}"', text)


def resolved(name: str, path: str) -> str:
    """Returns the path of the module that the module at `path` imports by a relative name."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), name))


def data_url(text: str, media_type: str) -> str:
    """Returns a `data:` URL with a text in UTF-8."""
    return f"data:{media_type};charset=utf-8;base64,{base64.b64encode(text.encode('utf-8')).decode()}"
