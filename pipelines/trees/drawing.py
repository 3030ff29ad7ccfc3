"""Draws a tree for a terminal, one constituent or word on a line, as the program `tree` draws folders."""

from rich.cells import cell_len, set_cell_size

from keras_nmt.pipelines.trees.tree import End, Leaf, Tree

_STYLES = (("├─ ", "└─ ", "│  ", "   "), ("├╴", "└╴", "│ ", "  "), ("├", "└", "│", " "))
_MORE = "…"


def drawn(tree: Tree, width: int) -> str:
    """Draws a tree in lines of at most `width` columns.

    ```
    S
    ├─ NP
    │  └─ PRP It
    └─ VP
       └─ VBZ works
    ```

    The root `TOP` is left out if it has one child. A deep tree gets a narrower indentation, and a line that is still
    too long is cut, with `…` at its end. Wide characters count as two columns.

    Raises:
        ValueError: The width is less than 1.
    """
    if width < 1:
        raise ValueError(f"expected a width of at least 1 column, got {width}")
    lines: list[str] = []
    for style in _STYLES:
        lines = _lines(tree, style, width)
        if all(cell_len(line) <= width for line in lines):
            break
    return "\n".join(_cut(line, width) for line in lines)


def _lines(tree: Tree, style: tuple[str, str, str, str], width: int) -> list[str]:
    branch, last, through, below_last = style
    root = tree.children[0] if tree.label == "TOP" and len(tree.children) == 1 else tree
    if isinstance(root, Leaf):
        return [_text(root)]
    lines = []
    left: list[int] = []  # the number of children still to come, by open constituent
    for node in root.walk():
        if isinstance(node, End):
            left.pop()
            continue
        prefix = "".join(through if count else below_last for count in left[:-1][: width + 1])  # the rest is cut
        if left:
            left[-1] -= 1
            prefix += branch if left[-1] else last
        lines.append(prefix + _text(node))
        if isinstance(node, Tree):
            left.append(len(node.children))
    return lines


def _text(node: Tree | Leaf) -> str:
    return f"{node.tag} {node.word}" if isinstance(node, Leaf) else node.label


def _cut(line: str, width: int) -> str:
    return line if cell_len(line) <= width else set_cell_size(line, width - 1).rstrip() + _MORE
