"""Hooks of MkDocs: the site also has the pages and files that lie outside docs/ and are linked from it."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {  # linked as ../NAME -> where it is in the site
    "benchmarks/README.md": "benchmarks.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    **{f"deploy/{path.name}": f"deploy/{path.name}" for path in (ROOT / "deploy").iterdir()},
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files."""
    for path, name in OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Makes the links lead there."""
    for path, name in OUTSIDE.items():
        markdown = markdown.replace(f"](../{path}", f"]({name}")
    for name in ("docs/", "../docs/"):  # links from the pages outside to those in docs/
        markdown = markdown.replace(f"]({name}", "](")
    return markdown
