"""The inverse of `with_rests`, by recursion."""

from keras_nmt.pipelines.trees.tree import Leaf, Tree


def without_rests(tree: Tree) -> Tree:
    """Returns the tree of which `with_rests` gave `tree`."""
    children: list[Tree | Leaf] = []
    for child in tree.children:
        if isinstance(child, Tree) and child.label == f"{tree.label}+":
            below = without_rests(Tree("", child.children)).children
            children = [Tree(tree.label, tuple(children)), *below]
        else:
            children.append(without_rests(child) if isinstance(child, Tree) else child)
    return Tree(tree.label, tuple(children))
