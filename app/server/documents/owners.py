"""Which part of a source each token of its translation belongs to.

Words follow the alignment, and punctuation marks follow their like, so that a link in brackets keeps its words.
"""

import unicodedata
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np

from app.server.documents.tokens import Token, is_name, kind_of, tokens_of

END = kind_of(".")
MOST_LOOKED_AT = 50  # places where something is written
NEAR_WORDS = 25  # where words are taken to be in the same order

Pairs = Sequence[tuple[int, int]]  # a word of the source and the word of the translation that comes from it


class Piece(NamedTuple):
    """A token of the source, or as much of one as is in one part.

    Attributes:
        text: What is written.
        begin: Its first character in the text.
        owner: Its part.
        token: The number of its token among those of the sentence.
        word: The number of its word in the sentence.
        is_mark: Whether it is a punctuation mark or symbol.
    """

    text: str
    begin: int
    owner: int
    token: int
    word: int
    is_mark: bool


@dataclass
class Placed:
    """A token of the translation, or as much of one as is in one part.

    Attributes:
        text: What is written.
        word: The number of its word.
        is_mark: Whether it is a punctuation mark or symbol.
        owner: Its part; -1 until that is known.
        piece: The number of the piece that it comes from; -1 if it comes from none.
    """

    text: str
    word: int
    is_mark: bool
    owner: int = -1
    piece: int = -1


def linked(pieces: Sequence[Piece], tokens: Sequence[Token], pairs: Pairs) -> list[int]:
    """The word of the source for each word of the translation; names and numbers go by how they are written."""
    links = {target: source for source, target in pairs if source <= pieces[-1].word}
    wholes = ["".join(piece.text for piece in group) for _, group in groupby(pieces, lambda piece: piece.token)]
    of_source, of_translation = Counter(wholes), Counter(token.text for token in tokens)
    words = {wholes[piece.token]: piece.word for piece in pieces if is_name(wholes[piece.token], piece.token == 0)}
    for token in tokens:
        if token.text in words and of_source[token.text] == of_translation[token.text] == 1:
            links[token.word] = words[token.text]
    found: list[int] = []
    for word in range(tokens[-1].word + 1):
        found.append(links.get(word, found[-1] if found else 0))
    return found


def placed_words(pieces: Sequence[Piece], tokens: Sequence[Token], links: Sequence[int]) -> list[Placed]:
    """The tokens of the translation, and the parts of those that are no marks."""
    of_word = {word: list(group) for word, group in groupby(range(len(pieces)), lambda i: pieces[i].word)}
    placed: list[Placed] = []
    for word, group in groupby(tokens, lambda token: token.word):
        in_word = list(group)
        sources = of_word[links[word]]
        cores = (i for i in sources if not pieces[i].is_mark)
        wholes = [list(same) for _, same in groupby(cores, lambda i: pieces[i].token)] or [sources[:1]]
        by_text = {"".join(pieces[i].text for i in whole): whole for whole in wholes}
        count, seen = sum(not token.is_mark for token in in_word), 0
        for token in in_word:
            if token.is_mark:
                placed.append(Placed(token.text, word, is_mark=True))
                continue
            chosen = by_text.get(token.text) or wholes[seen * len(wholes) // count]
            seen += 1
            texts = shared_out(token.text, [len(pieces[i].text) for i in chosen])
            placed += [
                Placed(text, word, False, pieces[i].owner, i) for i, text in zip(chosen, texts, strict=True) if text
            ]
    return placed


def shared_out(text: str, lengths: Sequence[int]) -> list[str]:
    """Cuts a word as one of such lengths was cut, so that a large first letter stays one.

    >>> shared_out("Es", [1, 3])
    ['E', 's']
    """
    if len(text) < len(lengths):  # all of it is the longest's
        longest = lengths.index(max(lengths))
        return [text if i == longest else "" for i in range(len(lengths))]
    cuts, before = [0], 0
    for i, length in enumerate(lengths[:-1]):
        before += length
        most = len(text) - len(lengths) + 1 + i
        cut = max(cuts[-1] + 1, min(round(before * len(text) / sum(lengths)), most))
        while cut < len(text) and unicodedata.category(text[cut]).startswith("M"):
            cut += 1
        cuts.append(cut)
    cuts.append(len(text))
    return [text[begin:end] for begin, end in pairwise(cuts)]


def place_marks(pieces: Sequence[Piece], placed: Sequence[Placed], links: Sequence[int]) -> None:
    """Gives each mark its part: that of its like in the source, or else that of the word that it stands at."""
    of_word: dict[tuple[int, bool, str], deque[int]] = defaultdict(deque)
    for i, (piece, opens) in enumerate(zip(pieces, opening(pieces), strict=True)):
        if piece.is_mark:
            of_word[piece.word, opens, kind_of(piece.text)].append(i)
    sides = opening(placed)
    for token, opens in zip(placed, sides, strict=True):
        if token.is_mark and (alike := of_word[links[token.word], opens, kind_of(token.text)]):
            token.piece = alike.popleft()
            token.owner = pieces[token.piece].owner
    of_sentence: dict[str, deque[int]] = defaultdict(deque)
    for i in sorted(i for left in of_word.values() for i in left):
        of_sentence[kind_of(pieces[i].text)].append(i)
    held = {token.owner for token in placed}
    for number, token in enumerate(placed):
        if token.owner >= 0 or not (alike := of_sentence[kind_of(token.text)]):
            continue
        owner = pieces[alike[0]].owner
        beside = {other.owner for other in placed[max(0, number - 1) : number + 2]}
        if owner not in held or owner in beside or kind_of(token.text) == END:
            token.piece, token.owner = alike.popleft(), owner
            held.add(owner)
    for number, (token, opens) in reversed(list(enumerate(zip(placed, sides, strict=True)))):
        if token.owner < 0 and opens and number + 1 < len(placed):
            token.owner = placed[number + 1].owner
    before = next((token.owner for token in placed if token.owner >= 0), pieces[0].owner)
    for token in placed:
        token.owner = before = token.owner if token.owner >= 0 else before


def opening(tokens: Sequence[Piece | Placed]) -> list[bool]:
    """Which of them are marks before the first letters of their word."""
    found: list[bool] = []
    for _, group in groupby(tokens, lambda token: token.word):
        in_word = list(group)
        first = next((i for i, token in enumerate(in_word) if not token.is_mark), 0)
        found += [i < first for i in range(len(in_word))]
    return found


def gather(placed: Sequence[Placed], kept: Mapping[int, str], other: int) -> None:
    """Leaves to each part that is kept as it is one stretch of the translation: where it is written, or its longest.

    Args:
        placed: The translation; what such a part loses goes to the part beside it.
        kept: What is written in each.
        other: A part that is not kept.
    """
    of_part: dict[int, list[int]] = defaultdict(list)
    of_text: dict[str, list[int]] = defaultdict(list)
    for i, token in enumerate(placed):
        of_part[token.owner].append(i)
        of_text[token.text.lower()].append(i)
    for number, text in kept.items():
        words = [token.text.lower() for token in tokens_of(text)]
        own = [i for i in of_part[number] if placed[i].owner == number]
        stretches = [[i for _, i in same] for _, same in groupby(enumerate(own), lambda pair: pair[1] - pair[0])]
        chosen: Sequence[int] = max(stretches, key=len, default=())
        for begin in of_text[words[0]][:MOST_LOOKED_AT]:
            found = range(begin, min(begin + len(words), len(placed)))
            is_free = all(placed[i].owner == number or placed[i].owner not in kept for i in found)
            if is_free and [placed[i].text.lower() for i in found] == words:
                chosen = found
                break
        for i in set(own).difference(chosen):
            around = (placed[at].owner for at in (*range(i - 1, -1, -1), *range(i + 1, len(placed))))
            placed[i].owner = next((owner for owner in around if owner not in kept), other)
        for i in chosen:
            placed[i].owner = number


def give_words(
    pieces: Sequence[Piece], placed: Sequence[Placed], numbers: Collection[int], kept: Collection[int], weights: Any
) -> None:
    """Gives each part that has no word the one that looks at it most, of those that their own parts can spare.

    Args:
        pieces: Of the source.
        placed: Of the translation, with their parts.
        numbers: The parts that should have a word.
        kept: Those that give none away.
        weights: float [U, W], how much each word of the translation looks at each source word; none for long sentences.
    """
    held = Counter(token.owner for token in placed if not token.is_mark)
    of_word: dict[int, list[Placed]] = defaultdict(list)
    for token in placed:
        if not token.is_mark:
            of_word[token.word].append(token)
    of_part: dict[int, set[int]] = defaultdict(set)
    for piece in pieces:
        of_part[piece.owner].add(piece.word)
    spare = sum(count - 1 for owner, count in held.items() if owner not in kept)
    for number in numbers:
        if held[number] or spare <= 0:
            continue
        for word in words_for(sorted(of_part[number]), pieces[-1].word + 1, placed[-1].word + 1, weights):
            taken = Counter(token.owner for token in of_word[word])
            if taken and all(held[owner] > count and owner not in kept for owner, count in taken.items()):
                held.subtract(taken)
                held[number] = len(of_word[word])
                spare -= 1
                for token in of_word[word]:
                    token.owner = number
                break
        else:
            if len(weights):
                return  # there is none to spare for anyone


def words_for(words: Sequence[int], source_words: int, target_words: int, weights: Any) -> Iterator[int]:
    """The words of the translation, first those that look most at some of the source."""
    rows, columns = min(target_words, len(weights)), weights.shape[1]
    within = [word for word in words if word < columns]
    middle = words[len(words) // 2] * target_words // source_words
    if rows and within:
        looks = weights[:rows, within].sum(axis=1)
        yield from np.lexsort((np.abs(np.arange(rows) - middle), -looks)).tolist()
    else:
        near = range(max(0, middle - NEAR_WORDS), min(target_words, middle + NEAR_WORDS))
        yield from sorted(near, key=lambda word: abs(word - middle))
