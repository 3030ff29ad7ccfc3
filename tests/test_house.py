"""The three folders and the arrows between them, read from the imports of every file."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"app", "layers", "pipelines", "tests", "benchmarks"}
ARROWS = {
    "app": {"app", "layers", "pipelines"},
    "layers": {"layers"},
    "pipelines": {"pipelines"},
    "tests": OURS,
    "benchmarks": OURS - {"tests"},
}


def imported_packages(source: str, package: str) -> set[str]:
    """The top-level packages that a file of `package` imports; a relative import is of the package itself."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(package if node.level else (node.module or "").split(".")[0])
    return found


def wrong_arrows(source: str, package: str) -> set[str]:
    """Which of our packages a file of `package` imports and may not; a file outside them may import none of `app`."""
    allowed = ARROWS.get(package, OURS - {"app"})
    return (imported_packages(source, package) & OURS) - allowed


def files() -> Iterator[tuple[str, Path]]:
    """Every Python file that git tracks or would, with its top-level folder."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).exists():
            yield Path(name).parts[0], ROOT / name


@pytest.mark.parametrize(
    ("package", "source", "wrong"),
    [
        ("app", "import layers, pipelines.stream", set()),
        ("layers", "from pipelines import vocabulary", {"pipelines"}),
        ("layers", "def f():\n    import app.cli", {"app"}),
        ("layers", "from . import masks", set()),
        ("pipelines", "from layers.masks import PAD", {"layers"}),
        ("pipelines", "import application", set()),
        ("docs", "import app", {"app"}),
        ("benchmarks", "import app", set()),
        ("app", "from tests import oracles", {"tests"}),
    ],
)
def test_a_wrong_arrow_is_seen(package: str, source: str, wrong: set[str]) -> None:
    assert wrong_arrows(source, package) == wrong


def test_every_import_follows_the_arrows() -> None:
    wrong = {str(path.relative_to(ROOT)): wrong_arrows(path.read_text(), package) for package, path in files()}
    assert {path for path in wrong if path.startswith("layers/")}
    assert {path: packages for path, packages in wrong.items() if packages} == {}


def test_layers_import_keras_and_the_standard_library_alone() -> None:
    allowed = {"keras", "layers"} | sys.stdlib_module_names
    foreign = {
        str(path.relative_to(ROOT)): imported_packages(path.read_text(), package) - allowed
        for package, path in files()
        if package == "layers"
    }
    assert len(foreign) > 5
    assert {path: packages for path, packages in foreign.items() if packages} == {}


def test_no_file_hides_our_layers_behind_those_of_keras() -> None:
    hiding = [
        str(path.relative_to(ROOT))
        for _, path in files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module in ("keras", "tensorflow.keras")
        and any((alias.asname or alias.name) in OURS for alias in node.names)
    ]
    assert hiding == []
