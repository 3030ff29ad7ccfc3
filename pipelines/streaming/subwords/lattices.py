"""Lattices of words: all segmentations of a word into pieces, with the probability of each.

A worked example: the pieces are ▁ a n ▁a an ▁an. The lattice of the word "▁an" has one edge for each piece. Its nodes 0
to 3 are the positions before, between and after the characters. Several paths may lead from node 0 to another node.
Each path ends with one of the edges that end in that node. The share of an edge is the probability of the paths that
end with this edge, divided by the probability of all paths to the node (forward algorithm):

    node 1   ▁ from node 0: 1.0
    node 2   a from node 1: 0.4   ▁a from node 0: 0.6
    node 3   n from node 2: 0.2   an from node 1: 0.3   ▁an from node 0: 0.5

A segmentation is drawn backwards. The draw starts at node 3, selects one of the edges that end there, each with the
probability of its share, and goes on at the node where that edge starts, until it reaches node 0. The shares are stored
as cumulative sums, for node 3 the numbers 0.2 0.5 1.0. A random number in [0, 1) selects the first edge whose
cumulative share is greater than the number. Each step is done for all words at the same time.
"""

from itertools import count, pairwise
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from keras_nmt.pipelines.streaming.subwords.ragged import Integers, Ragged, positions

_UNREACHABLE = -1e30  # log of 0; -inf would become nan

# The multiplier and increment of Knuth's MMIX generator. Only the high bits are used: the low ones have short periods.
_MULTIPLIER, _INCREMENT = np.uint64(6364136223846793005), np.uint64(1442695040888963407)

Floats = NDArray[np.float64]
RandomKeys = NDArray[np.uint64]


class Trie(NamedTuple):
    """A trie of the spellings of all pieces. State 0 is the root.

    Attributes:
        keys: The transitions, sorted; each is encoded as state << 32 | character.
        targets: The state that each transition leads to.
        pieces: The piece that ends in each state, or -1.
    """

    keys: Integers
    targets: Integers
    pieces: Integers

    @classmethod
    def of(cls, spelling: list[list[int]]) -> Self:
        """Builds the trie from the characters of each piece."""
        states: dict[int, int] = {}
        ends: dict[int, int] = {}
        for piece, characters in enumerate(spelling):
            state = 0
            for character in characters:
                state = states.setdefault(state << 32 | character, len(states) + 1)
            ends[state] = piece
        keys, targets = np.array(list(states)), np.array(list(states.values()))
        order = np.argsort(keys)
        pieces = np.full(len(states) + 1, -1)
        pieces[list(ends)] = list(ends.values())
        return cls(keys[order], targets[order], pieces)

    def step(self, states: Integers, characters: Integers) -> Integers:
        """Returns the next state for each state and its character, or -1 if there is no transition."""
        wanted = states << 32 | characters
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[places] == wanted, self.targets[places], -1)


class Lattices(NamedTuple):
    """The lattices of W words. Nodes 0 to W - 1 are the beginnings of the words. Each other node is after a character.

    Attributes:
        last: int [W], the node at the end of each word.
        first: int32 [nodes], the index of the first edge that ends in each node. The other edges that end in the node
            follow this edge.
        cumulative: float32 [edges], the sum of the shares of each edge and of the edges before it that end in the same
            node; 1 for the last edge of a node.
        starts: int32 [edges], the node where each edge starts.
        pieces: int32 [edges], the piece of each edge.
    """

    last: Integers
    first: Integers
    cumulative: NDArray[np.float32]
    starts: Integers
    pieces: Integers

    @classmethod
    def of(cls, words: Ragged, trie: Trie, weights: Floats) -> Self:
        """Builds the lattices.

        Args:
            words: The characters of each word.
            trie: The spellings of all pieces.
            weights: The weight of each piece: alpha times its log probability.
        """
        word = np.repeat(np.arange(len(words.counts)), words.counts)
        position = positions(words.counts)
        # Nodes are numbered by position, so that the nodes of one position depend only on nodes with lower numbers.
        order = np.argsort(position, kind="stable")
        after = np.empty_like(order)
        after[order] = len(words.counts) + np.arange(len(order))
        before = np.where(position == 0, word, np.roll(after, 1))
        edges = _find_edges(_Characters(words.values, before, after, words.counts[word] - position), trie)
        shares = _shares(edges, weights[edges.pieces], np.cumsum([len(words.counts), *np.bincount(position)]))
        starts, ends, pieces = (column[shares > 0] for column in edges)
        counts = np.bincount(ends)
        first = np.cumsum(counts) - counts
        cumulative = _cumulative(shares[shares > 0], first[counts > 0], counts[counts > 0])
        last = after[words.starts + words.counts - 1]
        return cls(last, first.astype(np.int32), cumulative, starts.astype(np.int32), pieces.astype(np.int32))

    def draw(self, words: Integers, keys: RandomKeys) -> Ragged:
        """Draws a segmentation of each given word, and returns the pieces of each segmentation.

        Args:
            words: The indices of the words in these lattices; a word may occur several times.
            keys: A key for each element of `words`, which determines the segmentation that is drawn.
        """
        word: Integers = np.arange(len(words))
        node: Integers = self.last[words]
        counts = np.zeros(len(words), np.int64)
        drawn: list[tuple[Integers, Integers]] = []
        while len(word):
            keys = keys * _MULTIPLIER + _INCREMENT
            edge = self._choose(node, _between_0_and_1(keys))
            drawn.append((word, edge))
            counts[word] += 1
            node = self.starts[edge]
            unfinished = node >= len(self.last)
            word, node, keys = word[unfinished], node[unfinished], keys[unfinished]
        ends = np.cumsum(counts)
        pieces = np.empty(counts.sum(), np.int32)
        for step, (drawing, taken) in enumerate(drawn, 1):
            pieces[ends[drawing] - step] = self.pieces[taken]  # the last piece is drawn first
        return Ragged(pieces, ends - counts, counts)

    def _choose(self, nodes: Integers, numbers: NDArray[np.float32]) -> Integers:
        """Selects, for each node, one of the edges that end in the node, by a random number in [0, 1).

        The edges of a node are tried one after another, because few edges end in a node.
        """
        edges = self.first[nodes]
        behind = np.flatnonzero(self.cumulative[edges] <= numbers)
        while len(behind):
            edges[behind] += 1
            behind = behind[self.cumulative[edges[behind]] <= numbers[behind]]
        return edges


def mixed_keys(keys: RandomKeys, numbers: Integers) -> RandomKeys:
    """Returns a new key for each pair of a key and a number: the hash of SplitMix64 (Steele, Lea and Flood 2014)."""
    keys = keys + numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ keys >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ keys >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return keys ^ keys >> np.uint64(31)


def _between_0_and_1(keys: RandomKeys) -> NDArray[np.float32]:
    """Returns the high bits of the keys as numbers in [0, 1)."""
    return (keys >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


class _Characters(NamedTuple):
    """The characters of all words, concatenated."""

    values: Integers
    before: Integers  # the node before each character
    after: Integers  # the node after each character
    remaining: Integers  # the number of characters from each character to the end of its word, both included


class _Edges(NamedTuple):
    """The edges of all lattices, sorted by the node where they end."""

    starts: Integers
    ends: Integers
    pieces: Integers


def _find_edges(characters: _Characters, trie: Trie) -> _Edges:
    """Finds all pieces that occur in the words. Follows the trie from each character of each word."""
    at: Integers = np.arange(len(characters.values))
    states: Integers = np.zeros_like(at)
    found = []
    for length in count(1):
        states = trie.step(states, characters.values[at + length - 1])
        at, states = at[states >= 0], states[states >= 0]
        if not len(at):
            break
        piece = trie.pieces[states]
        hit = at[piece >= 0]
        found.append((characters.before[hit], characters.after[hit + length - 1], piece[piece >= 0]))
        continues = characters.remaining[at] > length
        at, states = at[continues], states[continues]
    edges = _Edges(*(np.concatenate(column) for column in zip(*found, strict=True)))
    order = np.argsort(edges.ends, kind="stable")
    return _Edges(*(column[order] for column in edges))


def _shares(edges: _Edges, weights: Floats, bounds: Integers) -> Floats:
    """Returns the share of each edge (see the module's docstring), float64 [edges].

    Args:
        edges: The edges.
        weights: The weight of each edge: alpha times the log probability of its piece.
        bounds: The number of the first node after the first, second, ... character of the words, and finally the number
            of all nodes. The W nodes at the beginnings of the words come before all these nodes.
    """
    arrived = np.full(bounds[-1], _UNREACHABLE)  # log probabilities
    arrived[: bounds[0]] = 0
    shares = np.empty(len(weights))
    for start, stop in pairwise(np.searchsorted(edges.ends, bounds)):
        weight = arrived[edges.starts[start:stop]] + weights[start:stop]
        nodes, first, counts = np.unique(edges.ends[start:stop], return_index=True, return_counts=True)
        highest = np.maximum.reduceat(weight, first)
        arrived[nodes] = highest + np.log(np.add.reduceat(np.exp(weight - np.repeat(highest, counts)), first))
        reachable = arrived[edges.starts[start:stop]] > _UNREACHABLE / 2
        shares[start:stop] = np.exp(weight - np.repeat(arrived[nodes], counts)) * reachable
    return shares


def _cumulative(shares: Floats, first: Integers, counts: Integers) -> NDArray[np.float32]:
    """Returns the cumulative shares of the edges of each node. A node has `counts` edges, the first is `first`."""
    sums = np.cumsum(shares)
    sums -= np.repeat(sums[first] - shares[first], counts)
    sums[first + counts - 1] = 1  # otherwise rounding might give less than 1, and a random number could be greater
    return sums.astype(np.float32)
