"""Checks of the folders: what each may import, and how many modules it may hold."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PUBLIC, FOLDERS = "keras_nmt", {"app", "layers", "pipelines"}
OURS = {*FOLDERS, PUBLIC, "tests", "benchmarks"}
MAX_FUNCTION_LINES = 40
MOST_MODULES = 12  # in a folder, subfolders not counted
ALLOWED = {
    "app": {"app", "layers", "pipelines"},
    "layers": {"layers"},
    "pipelines": {"pipelines"},
    "keras_nmt": {"keras_nmt", "app", "layers", "pipelines"},
    "tests": OURS,
    "benchmarks": OURS - {"tests"},
}


def package_of(module: str) -> str:
    """Returns the folder that a module is in, e.g. "layers" of `keras_nmt.layers.masks`; else the top-level package.

    The folders are packages of `keras_nmt`. Imported by themselves they would be loaded twice: "layers alone".
    """
    first, *further = module.split(".")
    if first == PUBLIC:
        return further[0] if further and further[0] in FOLDERS else PUBLIC
    return f"{first} alone" if first in FOLDERS else first


def imported_packages(source: str, package: str) -> set[str]:
    """Returns the packages that a file of `package` imports; a relative import counts as `package`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {package_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == PUBLIC:
            found |= {package_of(f"{PUBLIC}.{alias.name}") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(package if node.level else package_of(node.module or ""))
    return found


def forbidden_imports(source: str, package: str) -> set[str]:
    """Returns our packages that a file of `package` must not import; a file outside of them must not import `app`."""
    allowed = ALLOWED.get(package, OURS - {"app"})
    found = imported_packages(source, package)
    return (found & OURS) - allowed | {name for name in found if name.endswith(" alone")}


def files() -> Iterator[tuple[str, Path]]:
    """Yields the top-level folder and path of every Python file that git does not ignore."""
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
        ("app", "import keras_nmt.layers, keras_nmt.pipelines.streaming.stream", set()),
        ("layers", "from keras_nmt.pipelines import vocabulary", {"pipelines"}),
        ("layers", "from keras_nmt import pipelines", {"pipelines"}),
        ("layers", "def f():\n    import keras_nmt.app.cli", {"app"}),
        ("layers", "from . import masks", set()),
        ("pipelines", "from keras_nmt.layers.masks import PAD", {"layers"}),
        ("pipelines", "import application", set()),
        ("docs", "import keras_nmt.app", {"app"}),
        ("docs", "import keras_nmt", set()),
        ("keras_nmt", "import keras_nmt.app", set()),
        ("app", "from keras_nmt import Transformer", {"keras_nmt"}),
        ("app", "from layers import masks", {"layers alone"}),
        ("benchmarks", "import keras_nmt.app", set()),
        ("app", "from tests import oracles", {"tests"}),
    ],
)
def test_a_forbidden_import_is_found(package: str, source: str, wrong: set[str]) -> None:
    assert forbidden_imports(source, package) == wrong


def test_every_import_is_allowed() -> None:
    wrong = {str(path.relative_to(ROOT)): forbidden_imports(path.read_text(), package) for package, path in files()}
    assert {path for path in wrong if path.startswith("layers/")}
    assert {path: packages for path, packages in wrong.items() if packages} == {}


def test_layers_import_only_keras_and_the_standard_library() -> None:
    allowed = {"keras", "layers"} | sys.stdlib_module_names
    foreign = {
        str(path.relative_to(ROOT)): imported_packages(path.read_text(), package) - allowed
        for package, path in files()
        if package == "layers"
    }
    assert len(foreign) > 5
    assert {path: packages for path, packages in foreign.items() if packages} == {}


def test_no_file_shadows_our_packages_with_those_of_keras() -> None:
    hiding = [
        str(path.relative_to(ROOT))
        for _, path in files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module in ("keras", "tensorflow.keras")
        and any((alias.asname or alias.name) in OURS for alias in node.names)
    ]
    assert hiding == []


def modules() -> dict[str, ast.Module]:
    """Parses the modules of the three packages; returns them by dotted name."""
    found = {}
    for package, path in files():
        if package in FOLDERS:
            parts = PUBLIC, *path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text())
    return found


def imported_modules(tree: ast.Module, known: Collection[str]) -> set[str]:
    """Returns the known modules that a module imports; `from a import b` imports `a.b` if that is a module."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & set(known) or {node.module}
    return found & set(known)


def cycles(imports: Mapping[str, set[str]]) -> list[str]:
    """Returns an import cycle for each package whose children import each other in a cycle.

    The children of a package are its modules and subpackages. They must have an order in which each imports only
    earlier ones. Subpackages are checked on their own as well.
    """
    found = []
    prefixes = {
        "".join(f"{part}." for part in name.split(".")[:i]) for name in imports for i in range(name.count(".") + 1)
    }
    for prefix in sorted(prefixes):

        def child(name: str, prefix: str = prefix) -> str:
            return prefix + name.removeprefix(prefix).split(".")[0]

        graph: dict[str, set[str]] = {}
        for name, others in imports.items():
            if name.startswith(prefix):
                below = {child(other) for other in others if other.startswith(prefix)}
                graph.setdefault(child(name), set()).update(below - {child(name)})
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            found.append(" -> ".join(error.args[1]))
    return found


@pytest.mark.parametrize(
    ("imports", "found"),
    [
        ({"a.x": {"b.y"}, "b.y": set()}, set()),
        ({"a.x": {"b.y"}, "b.z": {"a.w"}, "b.y": set(), "a.w": set()}, {"a", "b"}),
        ({"p.a.x": {"p.b"}, "p.b": {"p.a.y"}, "p.a.y": set()}, {"p.a", "p.b"}),
        ({"p.a.x": {"p.b"}, "p.b": {"p.c"}, "p.c": set()}, set()),
        ({"p.a": {"p"}, "p": set()}, set()),
    ],
)
def test_a_cycle_is_found(imports: dict[str, set[str]], found: set[str]) -> None:
    assert {name for cycle in cycles(imports) for name in cycle.split(" -> ")} == found


def test_there_is_no_import_cycle_in_any_package() -> None:
    known = modules()
    assert len(known) > 150
    assert cycles({name: imported_modules(tree, known) for name, tree in known.items()}) == []


def loaded_with(module: str, known: Mapping[str, ast.Module]) -> set[str]:
    """Returns the known modules that are loaded when a module is imported: no function runs an import of its own."""
    found, left = set(), [module]
    while left:
        name = left.pop()
        found.add(name)
        statements = [node for node in known[name].body if isinstance(node, ast.Import | ast.ImportFrom)]
        left += imported_modules(ast.Module(statements, []), known) - found
    return found


def test_the_server_loads_training_code_only_for_an_open_run() -> None:
    known = modules()
    for module in ("server.http.application", "server.engine.versions", "commands.serve"):
        loaded = loaded_with(f"keras_nmt.app.{module}", known)
        assert {name for name in loaded if name.startswith(("keras_nmt.app.training", "keras_nmt.layers"))} == set()
    assert "keras_nmt.app.models.exports" in loaded_with("keras_nmt.app.server.engine.versions", known)
    assert "keras_nmt.app.training.trainer" in loaded_with("keras_nmt.app.inside.opening", known)


def test_every_folder_has_a_docstring_and_at_most_twelve_modules() -> None:
    folders: dict[Path, list[Path]] = {}
    for package, path in files():
        if package in ("app", "layers", "pipelines", "benchmarks"):
            folders.setdefault(path.parent, []).append(path)
    assert len(folders) > 20
    for folder, paths in folders.items():
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder
        assert len(paths) - 1 <= MOST_MODULES, folder


def lines_of_code(source: str) -> dict[str, int]:
    """Returns the length of each function of a module, without its docstring, comments and empty lines."""
    found, lines = {}, source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = node.body[0] if ast.get_docstring(node) is not None else None
            numbers = set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            if documented:
                numbers -= set(range(documented.lineno, (documented.end_lineno or documented.lineno) + 1))
            code = (lines[number - 1].strip() for number in numbers)
            found[node.name] = sum(bool(line) and not line.startswith("#") for line in code)
    return found


def test_lines_of_code_are_counted_without_words() -> None:
    assert lines_of_code('def f():\n    """One.\n\n    Two.\n    """\n\n    # why\n    return 1\n') == {"f": 2}


def test_no_function_has_more_than_forty_lines_of_code() -> None:
    long = {
        f"{path.relative_to(ROOT)}: {name}": count
        for package, path in files()
        if package not in ("tests", "docs")
        for name, count in lines_of_code(path.read_text()).items()
        if count > MAX_FUNCTION_LINES
    }
    assert long == {}
