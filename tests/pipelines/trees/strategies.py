"""Random trees for hypothesis."""

from hypothesis import strategies as st

from keras_nmt.pipelines.trees.tree import Leaf, Tree

names = st.text(st.characters(exclude_categories=("Z", "C"), exclude_characters="()"), min_size=1, max_size=4)
labels = st.one_of(st.sampled_from(["S", "NP", "VP", "TOP", "XX", "PRT|ADVP"]), names)
nodes = st.recursive(
    st.builds(Leaf, names, names),
    lambda below: st.builds(Tree, labels, st.lists(below, min_size=1, max_size=4).map(tuple)),
    max_leaves=12,
)
trees = st.lists(nodes, min_size=1, max_size=3).map(lambda children: Tree("TOP", tuple(children)))


def deep_tree(depth: int) -> Tree:
    """Returns a tree with `depth` constituents, each below the one before."""
    tree = Tree("NP", (Leaf("NN", "end"),))
    for _ in range(depth - 2):
        tree = Tree("NP", (Leaf("JJ", "deep"), tree))
    return Tree("TOP", (tree,))
