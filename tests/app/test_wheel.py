"""The wheel: what it puts into an environment, and that it translates there without the checkout."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path, given: str = "") -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of what git tracks or would."""
    copy, out = (tmp_path_factory.mktemp(name) for name in ("copy", "wheel"))
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    names = [name for name in listed if name and ((ROOT / name).exists() or (ROOT / name).is_symlink())]
    (copy / "names").write_text("\n".join(names))
    run("tar", "-cf", copy / "all.tar", "-T", copy / "names", cwd=ROOT)
    run("tar", "-xf", "all.tar", cwd=copy)
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q")
    run(*pip, "--wheel-dir", out, copy, cwd=out)
    (found,) = out.glob("*.whl")
    return found


def test_it_holds_one_import_package_and_all_files(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"keras_nmt"}
    for name in (
        "py.typed",
        "app/exporting/model_card.md.jinja",
        "app/presets/paper-base.toml",
        "app/server/page/index.html",
        "app/server/page/inside/chapters/attention/steps.js",
        "app/server/page/inside/inside.css",
        "app/server/page/vendor/d3.LICENSE",
        "app/server/page/vendor/d3.min.js",
        "app/server/saved_page/page.html.jinja",
        "layers/sublayers/attention.py",
        "pipelines/preparation/report.html.jinja",
        "pipelines/sample/craft-trees/train.trees.xz",
        "pipelines/sample/debian-descriptions/ATTRIBUTION.md",
        "pipelines/sample/tatoeba-en-de/train.tsv.xz",
        "pipelines/sample/tinyshakespeare/test.txt.xz",
    ):
        assert f"keras_nmt/{name}" in names


def test_it_translates_in_an_environment_of_its_own(wheel: Path, export: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", "env", cwd=tmp_path)
    (packages,) = (tmp_path / "env").glob("lib/python*/site-packages")
    # The dependencies come from this environment; a path in a .pth file brings no editable installation along.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = tmp_path / "env" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "-q")
    run(*pip, wheel, cwd=tmp_path)
    code = (
        "import importlib.util as u, keras_nmt as k; print(k.__file__, *map(u.find_spec, ('app', 'layers')), sep='\\n')"
    )
    where, *others = run(python, "-c", code, cwd=tmp_path).splitlines()
    assert where == str(packages / "keras_nmt" / "__init__.py")
    assert others == ["None", "None"]
    translated = run(tmp_path / "env" / "bin" / "nmt", "translate", export, cwd=tmp_path, given="It rains.\nWho?\n")
    assert len(translated.splitlines()) == 2
