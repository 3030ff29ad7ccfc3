"""Rewrites left-recursive constituents, so that a parser that works from left to right need not foresee them.

In (NP (NP the cat) (PP on the mat)), both brackets open before the first word, although only what follows the inner NP
tells that there is an outer one. So what follows becomes the last child of the inner NP, in a constituent with the
label NP+, the rest of a larger NP: (NP the cat (NP+ (PP on the mat))). The rest of a third NP around the two follows
the first rest. This is a left-corner transform (Rosenkrantz and Lewis 1970; Johnson 1998) of those constituents alone
whose first child has their label, and which have more children.
"""

from collections.abc import Collection

from keras_nmt.pipelines.trees.tree import Leaf, Tree

REST = "+"  # ends the label of a rest; `normal_form` cuts it from other labels


def with_rests(tree: Tree, labels: Collection[str] | None = None) -> Tree:
    """Rewrites the left-recursive constituents with these labels, or all if None, of a tree in the `normal_form`."""
    open_nodes: list[tuple[str, list[Tree | Leaf]]] = [("", [])]
    for node in tree.walk():
        if isinstance(node, Tree):
            open_nodes.append((node.label, []))
        elif isinstance(node, Leaf):
            open_nodes[-1][1].append(node)
        else:
            label, children = open_nodes.pop()
            first, *others = children
            is_rewritten = labels is None or label in labels
            if is_rewritten and others and isinstance(first, Tree) and first.label == label:
                children = [*first.children, Tree(label + REST, tuple(others))]
            open_nodes[-1][1].append(Tree(label, tuple(children)))
    (root,) = open_nodes[0][1]
    assert isinstance(root, Tree)
    return root
