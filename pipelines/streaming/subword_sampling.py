"""Subword regularisation: each sentence is read in another segmentation each time (Kudo 2018, section 3.2).

A segmentation of a text is drawn with a probability proportional to P(segmentation)**alpha, where P is that of the
vocabulary's unigram model, among all that there are: filtering forwards and sampling backwards in their lattice.

SentencePiece's own `SampleEncode`, which tensorflow-text calls too, draws the same but cannot repeat it: from 0.2.2 on
its numbers depend on the process even when seeded, and a training that goes on would read other batches. Here each
row of a batch has a key that its numbers follow from, so that a machine that draws some of the rows draws them as one
that draws all. And here it takes a fraction of the time: as no piece reaches beyond a word, the lattices of all
different words of a window are made once, and a batch is drawn word by word, all words at a time.

A worked example: of the pieces ▁ a n ▁a an ▁an, "▁an" makes a lattice of nodes 0 to 3 between its characters, with an
edge for each piece. Of the edges that end in a node, each has its share of the weight that gets there:

    node 1: ▁ from 0, 1.0    node 2: a from 1, 0.4; ▁a from 0, 0.6    node 3: n from 2, 0.2; an from 1, 0.3; ▁an 0.5

A draw begins at node 3, takes one of its edges by its share, goes on where that edge starts, and ends at node 0. What
is kept of the shares are their sums, 0.2 0.5 1.0 for node 3: a number from [0, 1) takes the first edge whose sum is
above it. All words of a batch take their steps together.
"""

from itertools import count, pairwise
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sentencepiece import sentencepiece_model_pb2

from pipelines.errors import DataError
from pipelines.shards.buckets import Lengths, Rows
from pipelines.shards.reading import Tokens
from pipelines.streaming.batching import EMPTY_ROW, BatchPlan, Ids, NumpyBatch, padded, with_decoder_input
from pipelines.vocabulary.tokenizer import PAD

_SPACE = "▁"  # what SentencePiece writes for the space before a word
_ATOM = 0x110000  # beyond all characters: an id that is not spelt in characters counts as the character _ATOM + id
_UNREACHABLE = -1e30  # the logarithm of nothing; -inf would become nan
_ROOM_DEVIATIONS = 1.0  # 2.5 would fit nearly all at once, but then a third of a batch is padding, not a quarter
_DRAWS = 4  # of a sentence until one fits; then one in a hundred or fewer have not
_ROOM_DRAWS = 100_000

# Of Knuth's MMIX, from a key to the next; only the high bits are used, as the low ones have short periods.
_MULTIPLIER, _INCREMENT = np.uint64(6364136223846793005), np.uint64(1442695040888963407)

Integers = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]
Keys = NDArray[np.uint64]


def row_keys(rows: int, random: np.random.Generator) -> Keys:
    """Gives what the draws of a batch follow from: keys [2, draws, B] of both sides of its rows, for each attempt."""
    return random.integers(1 << 64, size=(2, _DRAWS, rows), dtype=np.uint64)


class SubwordSampler:
    """Draws segmentations by one vocabulary and one alpha."""

    def __init__(self, model_proto: bytes, alpha: float) -> None:
        """Takes the SentencePiece model and alpha: 1 follows the model, the nearer to 0 the more even.

        Raises:
            DataError: if it is no unigram model, whose scores alone are probabilities.
        """
        model = sentencepiece_model_pb2.ModelProto.FromString(model_proto)
        if model.trainer_spec.model_type != model.trainer_spec.UNIGRAM:
            raise DataError(
                "segmentations are drawn from a unigram vocabulary, and that of this data is of another kind; use "
                "sampling_alpha 0, or prepare the data with a unigram vocabulary"
            )
        pieces = model.pieces
        normal = np.array([piece.type == piece.NORMAL for piece in pieces])
        # Bytes, marks and user-defined pieces are neither split nor merged.
        spelling = [
            [ord(character) for character in piece.piece] if normal[i] else [_ATOM + i]
            for i, piece in enumerate(pieces)
        ]
        scores = np.where(normal, [piece.score for piece in pieces], 0.0)
        self._weights = alpha * scores
        self._begins_word = ~normal | np.array([piece.piece.startswith(_SPACE) for piece in pieces])
        self._trie = _Trie.of(spelling)
        self._spelling = _Ragged.of(spelling)
        self._growth, self._variance = self._measure(np.flatnonzero(normal), scores)

    def room(self, lengths: Lengths, max_length: int) -> Lengths:
        """Gives the lengths to plan batches with, so that most drawn segmentations fit.

        A drawn segmentation is mostly longer than the best one, by a factor that the vocabulary lets expect. The room
        is for that and some deviations more, but no more than `max_length` for what is no longer itself.
        """
        tokens = lengths - 1.0  # EOS stays one
        room = 1 + np.ceil(tokens * self._growth + _ROOM_DEVIATIONS * np.sqrt(tokens * self._variance))
        return np.maximum(lengths, np.minimum(room, max_length)).astype(np.int32)

    def expected(self, lengths: Lengths, max_length: int) -> NDArray[np.float64]:
        """Gives the mean lengths of drawn segmentations, within the room; those drawn are a little shorter."""
        return np.minimum(1 + (lengths - 1.0) * self._growth, self.room(lengths, max_length))

    def segmentations(self, tokens: Tokens) -> "Segmentations":
        """Makes the lattices of all words of some pairs: about 100 MB for 100,000 pairs of European news."""
        begins = [self._begins_word[values] for values in tokens.values]
        for side in (0, 1):
            begins[side][tokens.starts[:, side]] = True
        starts = np.flatnonzero(np.concatenate(begins))
        words = _Ragged(np.concatenate(tokens.values), starts, np.diff(starts, append=sum(map(len, begins))))
        distinct, numbers = words.distinct()
        sides = np.split(numbers, [np.count_nonzero(begins[0])])
        first = [np.searchsorted(np.flatnonzero(begins[side]), tokens.starts[:, side]) for side in (0, 1)]
        rows = [_Ragged(sides[s], first[s], np.diff(first[s], append=len(sides[s]))) for s in (0, 1)]
        return Segmentations(tokens, (rows[0], rows[1]), self._lattices(distinct))

    def _lattices(self, words: "_Ragged") -> "_Lattices":
        words = words.take(np.arange(len(words.counts)))
        return _Lattices.of(self._spelling.take(words.values).joined(words), self._trie, self._weights)

    def _measure(self, normal: Integers, scores: Floats) -> tuple[float, float]:
        """Gives mean and variance of the number of drawn tokens for one of a best segmentation."""
        probability = np.exp(scores[normal])
        lattices = self._lattices(_Ragged(normal, np.arange(len(normal)), np.ones(len(normal), np.int64)))
        random = np.random.Generator(np.random.PCG64(0))
        words = random.choice(len(normal), _ROOM_DRAWS, p=probability / probability.sum())
        drawn = lattices.draw(words, random.integers(1 << 64, size=_ROOM_DRAWS, dtype=np.uint64)).counts
        return float(drawn.mean()), float(drawn.var())


class Segmentations(NamedTuple):
    """The pairs of a window and the lattices of their words."""

    tokens: Tokens
    words: tuple["_Ragged", "_Ragged"]  # of each side, the numbers of each row's words
    lattices: "_Lattices"

    def draw_batch(self, plan: BatchPlan, keys: Keys, room: Lengths) -> NumpyBatch:
        """Gives the batch of a plan as `fill_batch` does, with segmentations drawn anew by the keys of its rows.

        What is drawn fits the `room` for each side of its row, int32 [B, 2].

        A sentence whose drawn segmentation does not fit is drawn again, so lengths are a little less than the model's:
        by 2 to 5% at alpha 0.1, by 1 to 3% at 0.2. The few that never fit keep the stored segmentation.
        """
        return with_decoder_input(
            self._draw_side(0, padded(self.tokens, 0, plan.rows, plan.source_length), plan.rows, keys[0], room[:, 0]),
            self._draw_side(1, padded(self.tokens, 1, plan.rows, plan.target_length), plan.rows, keys[1], room[:, 1]),
        )

    def _draw_side(self, side: int, batch: Ids, rows: Rows, keys: Keys, room: Integers) -> Ids:
        """Fills what is drawn into a batch of stored segmentations."""
        left = np.flatnonzero(rows != EMPTY_ROW)
        for keys_of_rows in keys:
            sentences = self.words[side].take(rows[left])
            word = _ranges(np.zeros_like(sentences.counts), sentences.counts)
            keys_of_words = _mixed(np.repeat(keys_of_rows[left], sentences.counts), word)
            drawn = self.lattices.draw(sentences.values, keys_of_words).joined(sentences)
            fits = drawn.counts <= room[left]
            fitting = drawn.take(np.flatnonzero(fits))
            batch[left[fits]] = PAD
            columns = _ranges(np.zeros_like(fitting.counts), fitting.counts)
            batch[np.repeat(left[fits], fitting.counts), columns] = fitting.values
            left = left[~fits]
        return batch


class _Ragged(NamedTuple):
    """Rows of different lengths in one flat array."""

    values: Integers
    starts: Integers
    counts: Integers

    @classmethod
    def of(cls, rows: list[list[int]]) -> Self:
        counts = np.array([len(row) for row in rows])
        return cls(np.array([value for row in rows for value in row]), np.cumsum(counts) - counts, counts)

    def take(self, rows: Integers) -> "_Ragged":
        """Gives some of the rows, one after another."""
        counts = self.counts[rows]
        return _Ragged(self.values[_ranges(self.starts[rows], counts)], np.cumsum(counts) - counts, counts)

    def joined(self, groups: "_Ragged") -> "_Ragged":
        """Gives one row for each of the groups, which hold as many members in all as there are rows here, in order."""
        ends = np.append(0, np.cumsum(self.counts))
        starts = ends[groups.starts]
        return _Ragged(self.values, starts, ends[groups.starts + groups.counts] - starts)

    def distinct(self) -> tuple["_Ragged", Integers]:
        """Gives the different rows, and for each row which of them it is."""
        numbers = np.zeros(len(self.counts), np.int64)
        base = int(self.values.max(initial=0)) + 1
        for column in range(int(self.counts.max(initial=0))):  # numbers the beginnings of rows, longer and longer ones
            longer = np.flatnonzero(self.counts > column)
            codes = numbers[longer] * base + self.values[self.starts[longer] + column]
            numbers[longer] = np.unique(codes, return_inverse=True)[1]
        codes = self.counts * (len(numbers) + 1) + numbers  # a whole row is not the beginning of another
        _, examples, numbers = np.unique(codes, return_index=True, return_inverse=True)
        return _Ragged(self.values, self.starts[examples], self.counts[examples]), numbers


class _Trie(NamedTuple):
    """All pieces by their characters; state 0 is the root."""

    keys: Integers  # sorted: state << 32 | character
    targets: Integers  # the state that each leads to
    pieces: Integers  # of each state, the piece that ends there or -1

    @classmethod
    def of(cls, spelling: list[list[int]]) -> Self:
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
        """Gives where each state leads to by a character, -1 for nowhere."""
        wanted = states << 32 | characters
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[places] == wanted, self.targets[places], -1)


class _Characters(NamedTuple):
    """The characters of many words, one after another."""

    values: Integers
    before: Integers  # the node before each
    after: Integers  # the node after each
    remaining: Integers  # how many characters its word has from it on


class _Edges(NamedTuple):
    """Pieces in lattices, sorted by the node where they end."""

    starts: Integers
    ends: Integers
    pieces: Integers


class _Lattices(NamedTuple):
    """The lattices of W words: nodes 0 to W - 1 begin the words, each of the others lies after a character."""

    last: Integers  # [W]: the node where each word ends
    first: Integers  # of each node, the first of the edges that end there; the others follow
    sums: NDArray[np.float32]  # of each edge, the sum of the shares up to it; 1 for the last one of a node
    starts: Integers  # of each edge
    pieces: Integers  # of each edge

    @classmethod
    def of(cls, words: _Ragged, trie: _Trie, weights: Floats) -> Self:
        """Makes the lattices of words given in characters."""
        word = np.repeat(np.arange(len(words.counts)), words.counts)
        position = _ranges(np.zeros_like(words.counts), words.counts)
        # By position, so that all nodes of one follow from those of the ones before.
        order = np.argsort(position, kind="stable")
        after = np.empty_like(order)
        after[order] = len(words.counts) + np.arange(len(order))
        before = np.where(position == 0, word, np.roll(after, 1))
        edges = _find_edges(_Characters(words.values, before, after, words.counts[word] - position), trie)
        shares = _shares(edges, weights[edges.pieces], np.cumsum([len(words.counts), *np.bincount(position)]))
        starts, ends, pieces = (column[shares > 0] for column in edges)
        counts = np.bincount(ends)
        first = np.cumsum(counts) - counts
        sums = _sums(shares[shares > 0], first[counts > 0], counts[counts > 0])
        last = after[words.starts + words.counts - 1]
        return cls(last, first.astype(np.int32), sums, starts.astype(np.int32), pieces.astype(np.int32))

    def draw(self, words: Integers, keys: Keys) -> _Ragged:
        """Gives the pieces of a segmentation of each word, drawn by its key."""
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
            goes_on = node >= len(self.last)
            word, node, keys = word[goes_on], node[goes_on], keys[goes_on]
        ends = np.cumsum(counts)
        pieces = np.empty(counts.sum(), np.int32)
        for step, (drawing, taken) in enumerate(drawn, 1):
            pieces[ends[drawing] - step] = self.pieces[taken]  # the last piece was drawn first
        return _Ragged(pieces, ends - counts, counts)

    def _choose(self, nodes: Integers, numbers: NDArray[np.float32]) -> Integers:
        """Gives an edge of each node; nodes have few edges, so that going along them beats a search."""
        edges = self.first[nodes]
        behind = np.flatnonzero(self.sums[edges] <= numbers)
        while len(behind):
            edges[behind] += 1
            behind = behind[self.sums[edges[behind]] <= numbers[behind]]
        return edges


def _mixed(keys: Keys, numbers: Integers) -> Keys:
    """Gives a key for each key and number, near ones or not: those of SplitMix64 (Steele, Lea and Flood 2014)."""
    keys = keys + numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ keys >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ keys >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return keys ^ keys >> np.uint64(31)


def _between_0_and_1(keys: Keys) -> NDArray[np.float32]:
    """Gives the high bits of keys as numbers from [0, 1)."""
    return (keys >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def _find_edges(characters: _Characters, trie: _Trie) -> _Edges:
    """Finds all pieces in all words: from each character on, as far as the trie goes."""
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
        onward = characters.remaining[at] > length
        at, states = at[onward], states[onward]
    edges = _Edges(*(np.concatenate(column) for column in zip(*found, strict=True)))
    order = np.argsort(edges.ends, kind="stable")
    return _Edges(*(column[order] for column in edges))


def _shares(edges: _Edges, weights: Floats, bounds: Integers) -> Floats:
    """Gives of each edge its share of the weight that arrives where it ends (the forward algorithm).

    Args:
        weights: alpha * log probability of each edge's piece.
        bounds: where the nodes of each position begin, after the first W, which begin the words, and where all end.
    """
    arrived = np.full(bounds[-1], _UNREACHABLE)  # logarithms
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


def _sums(shares: Floats, first: Integers, counts: Integers) -> NDArray[np.float32]:
    """Gives the sums of the shares of each node's edges, of which there are so many from `first` on."""
    sums = np.cumsum(shares)
    sums -= np.repeat(sums[first] - shares[first], counts)
    sums[first + counts - 1] = 1  # which rounding may have missed, and no number drawn reaches
    return sums.astype(np.float32)


def _ranges(starts: Integers, counts: Integers) -> Integers:
    """Gives start, start + 1, ... of each start, as many as its count, one after another."""
    return np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
