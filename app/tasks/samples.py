"""Samples of a model's output as Markdown, which TensorBoard shows for each evaluation."""

from collections.abc import Iterable, Sequence

SAMPLES = 5  # number of outputs that are shown


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table with one text in each cell. Escapes vertical bars in the texts."""
    lines = [" | ".join(heads), "|".join(["---"] * len(heads))]
    return "\n".join([*lines, *(" | ".join(text.replace("|", "\\|") for text in row) for row in rows)])


def blocks(captioned: Iterable[tuple[str, str]]) -> str:
    """Returns texts with a caption before each. A text is shown as it is, with its line ends and runs of spaces."""
    return "\n\n".join(f"{caption}:\n\n{_indented(text)}" for caption, text in captioned)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))
