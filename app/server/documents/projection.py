"""Projection of the source spans onto the tokens of a translation.

Words follow the alignment. Punctuation marks go to the span of the equivalent mark in the source, so that a link in
brackets keeps its words.
"""

import unicodedata
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np

from app.server.documents.tokens import Token, canonical_mark, is_name_or_number, tokens_of

SENTENCE_END = canonical_mark(".")
MAX_OCCURRENCES = 50  # of a protected span's first word that are tried
NEAR_WORDS = 25  # words around the expected position that are tried if there are no attention weights

WordPairs = Sequence[tuple[int, int]]  # numbers of a source word and of the target word that translates it


class SourceFragment(NamedTuple):
    """A source token, or the fragment of one that lies in one span.

    Attributes:
        text: Its characters.
        begin: Index of its first character in the text.
        span: Number of its span.
        token: Number of its token in the sentence.
        word: Number of its word in the sentence.
        is_mark: True for a punctuation mark or symbol.
    """

    text: str
    begin: int
    span: int
    token: int
    word: int
    is_mark: bool


@dataclass
class TargetFragment:
    """A token of the translation, or the fragment of one that lies in one span.

    Attributes:
        text: Its characters.
        word: Number of its word.
        is_mark: True for a punctuation mark or symbol.
        span: Number of its span; -1 until it is assigned.
        source: Index of the source fragment that it translates; -1 for none.
    """

    text: str
    word: int
    is_mark: bool
    span: int = -1
    source: int = -1


def link_words(fragments: Sequence[SourceFragment], tokens: Sequence[Token], pairs: WordPairs) -> list[int]:
    """Links each target word to a source word.

    A name or number that occurs once on both sides links its words, whatever the alignment says. A target word without
    a link gets that of the word before it.

    Args:
        fragments: Fragments of the source sentence.
        tokens: Tokens of the translation.
        pairs: Word alignment.

    Returns:
        The number of the source word for each target word.
    """
    links = {target: source for source, target in pairs if source <= fragments[-1].word}
    wholes = ["".join(part.text for part in group) for _, group in groupby(fragments, lambda part: part.token)]
    source_counts, target_counts = Counter(wholes), Counter(token.text for token in tokens)
    words = {
        wholes[part.token]: part.word for part in fragments if is_name_or_number(wholes[part.token], part.token == 0)
    }
    for token in tokens:
        if token.text in words and source_counts[token.text] == target_counts[token.text] == 1:
            links[token.word] = words[token.text]
    found: list[int] = []
    for word in range(tokens[-1].word + 1):
        found.append(links.get(word, found[-1] if found else 0))
    return found


def project_words(
    fragments: Sequence[SourceFragment], tokens: Sequence[Token], links: Sequence[int]
) -> list[TargetFragment]:
    """Splits the tokens of a translation into fragments and assigns those that are not marks to spans."""
    by_word = {word: list(group) for word, group in groupby(range(len(fragments)), lambda i: fragments[i].word)}
    projected: list[TargetFragment] = []
    for word, group in groupby(tokens, lambda token: token.word):
        in_word = list(group)
        sources = by_word[links[word]]
        unmarked = (i for i in sources if not fragments[i].is_mark)
        wholes = [list(same) for _, same in groupby(unmarked, lambda i: fragments[i].token)] or [sources[:1]]
        by_text = {"".join(fragments[i].text for i in whole): whole for whole in wholes}
        count, seen = sum(not token.is_mark for token in in_word), 0
        for token in in_word:
            if token.is_mark:
                projected.append(TargetFragment(token.text, word, is_mark=True))
                continue
            chosen = by_text.get(token.text) or wholes[seen * len(wholes) // count]
            seen += 1
            texts = split_in_proportion(token.text, [len(fragments[i].text) for i in chosen])
            projected += [
                TargetFragment(text, word, False, fragments[i].span, i)
                for i, text in zip(chosen, texts, strict=True)
                if text
            ]
    return projected


def split_in_proportion(text: str, lengths: Sequence[int]) -> list[str]:
    """Splits a word in the proportion of `lengths`, so that a large initial letter stays one letter.

    No fragment is empty, unless the word has fewer characters than there are lengths; then the longest gets all.

    >>> split_in_proportion("Es", [1, 3])
    ['E', 's']
    """
    if len(text) < len(lengths):
        longest = lengths.index(max(lengths))
        return [text if i == longest else "" for i in range(len(lengths))]
    cuts, before = [0], 0
    for i, length in enumerate(lengths[:-1]):
        before += length
        most = len(text) - len(lengths) + 1 + i
        cut = max(cuts[-1] + 1, min(round(before * len(text) / sum(lengths)), most))
        while cut < len(text) and unicodedata.category(text[cut]).startswith("M"):  # combining marks
            cut += 1
        cuts.append(cut)
    cuts.append(len(text))
    return [text[begin:end] for begin, end in pairwise(cuts)]


def project_marks(
    fragments: Sequence[SourceFragment], projected: Sequence[TargetFragment], links: Sequence[int]
) -> None:
    """Assigns each mark to the span of an equivalent mark in the source, or else to that of the word beside it."""
    opens = opening_marks(projected)
    unused = match_marks_in_words(fragments, projected, links, opens)
    match_marks_in_sentence(fragments, projected, unused)
    for i in range(len(projected) - 2, -1, -1):
        if projected[i].span < 0 and opens[i]:
            projected[i].span = projected[i + 1].span
    before = next((token.span for token in projected if token.span >= 0), fragments[0].span)
    for token in projected:
        token.span = before = token.span if token.span >= 0 else before


def match_marks_in_words(
    fragments: Sequence[SourceFragment],
    projected: Sequence[TargetFragment],
    links: Sequence[int],
    opens: Sequence[bool],
) -> list[int]:
    """Matches marks with equivalent marks on the same side of the linked source word.

    Returns:
        The indices of the source marks that match none.
    """
    candidates: dict[tuple[int, bool, str], deque[int]] = defaultdict(deque)
    for i, (part, is_opening) in enumerate(zip(fragments, opening_marks(fragments), strict=True)):
        if part.is_mark:
            candidates[part.word, is_opening, canonical_mark(part.text)].append(i)
    for token, is_opening in zip(projected, opens, strict=True):
        if not token.is_mark:
            continue
        if same := candidates[links[token.word], is_opening, canonical_mark(token.text)]:
            token.source = same.popleft()
            token.span = fragments[token.source].span
    return sorted(i for left in candidates.values() for i in left)


def match_marks_in_sentence(
    fragments: Sequence[SourceFragment], projected: Sequence[TargetFragment], unused: Sequence[int]
) -> None:
    """Matches the remaining marks with equivalent marks anywhere in the sentence, in order.

    A mark inside the sentence matches only if its span has no token yet or a neighbour in the same span, so that no
    span is torn apart.
    """
    candidates: dict[str, deque[int]] = defaultdict(deque)
    for i in unused:
        candidates[canonical_mark(fragments[i].text)].append(i)
    spans = {token.span for token in projected}
    for number, token in enumerate(projected):
        if token.span >= 0 or not (same := candidates[canonical_mark(token.text)]):
            continue
        span = fragments[same[0]].span
        beside = {other.span for other in projected[max(0, number - 1) : number + 2]}
        if span not in spans or span in beside or canonical_mark(token.text) == SENTENCE_END:
            token.source, token.span = same.popleft(), span
            spans.add(span)


def opening_marks(fragments: Sequence[SourceFragment | TargetFragment]) -> list[bool]:
    """Returns for each fragment True if it is a mark before the first letters of its word."""
    found: list[bool] = []
    for _, group in groupby(fragments, lambda part: part.word):
        in_word = list(group)
        first = next((i for i, part in enumerate(in_word) if not part.is_mark), 0)
        found += [i < first for i in range(len(in_word))]
    return found


def gather_protected(projected: Sequence[TargetFragment], protected: Mapping[int, str], default: int) -> None:
    """Reduces each protected span to one contiguous stretch of the translation.

    That is the place where the translation has the span's text, or the longest stretch that is assigned to it. The
    other fragments go to the nearest span that is not protected.

    Args:
        projected: Fragments of the translation.
        protected: Texts of the protected spans, by number.
        default: Span for fragments without a neighbour that is not protected.
    """
    by_span: dict[int, list[int]] = defaultdict(list)
    by_text: dict[str, list[int]] = defaultdict(list)
    for i, token in enumerate(projected):
        by_span[token.span].append(i)
        by_text[token.text.lower()].append(i)
    for number, text in protected.items():
        words = [token.text.lower() for token in tokens_of(text)]
        own = [i for i in by_span[number] if projected[i].span == number]
        stretches = [[i for _, i in same] for _, same in groupby(enumerate(own), lambda pair: pair[1] - pair[0])]
        chosen: Sequence[int] = max(stretches, key=len, default=())
        for begin in by_text[words[0]][:MAX_OCCURRENCES]:
            stretch = range(begin, min(begin + len(words), len(projected)))
            is_free = all(projected[i].span == number or projected[i].span not in protected for i in stretch)
            if is_free and [projected[i].text.lower() for i in stretch] == words:
                chosen = stretch
                break
        for i in set(own).difference(chosen):
            neighbours = (projected[j].span for j in (*range(i - 1, -1, -1), *range(i + 1, len(projected))))
            projected[i].span = next((span for span in neighbours if span not in protected), default)
        for i in chosen:
            projected[i].span = number


def fill_empty_spans(
    fragments: Sequence[SourceFragment],
    projected: Sequence[TargetFragment],
    numbers: Collection[int],
    protected: Collection[int],
    weights: np.ndarray,
) -> None:
    """Moves to each span without a word the target word with the most attention to it, if its own span has others.

    Args:
        fragments: Fragments of the source sentence.
        projected: Fragments of the translation, with their spans.
        numbers: Spans that should have a word.
        protected: Spans that keep all their words.
        weights: float [U, W], attention of each target word to each source word; [0, W] for a long sentence.
    """
    counts = Counter(token.span for token in projected if not token.is_mark)
    by_word: dict[int, list[TargetFragment]] = defaultdict(list)
    for token in projected:
        if not token.is_mark:
            by_word[token.word].append(token)
    source_words: dict[int, set[int]] = defaultdict(set)
    for part in fragments:
        source_words[part.span].add(part.word)
    spare = sum(count - 1 for span, count in counts.items() if span not in protected)
    for number in numbers:
        if counts[number] or spare <= 0:
            continue
        for word in ranked_words(sorted(source_words[number]), fragments[-1].word + 1, projected[-1].word + 1, weights):
            taken = Counter(token.span for token in by_word[word])
            if taken and all(counts[span] > count and span not in protected for span, count in taken.items()):
                counts.subtract(taken)
                counts[number] = len(by_word[word])
                spare -= 1
                for token in by_word[word]:
                    token.span = number
                break
        else:
            if len(weights):
                return  # all words were tried, so no other span can get one either


def ranked_words(words: Sequence[int], source_words: int, target_words: int, weights: np.ndarray) -> Iterator[int]:
    """Yields target words, those with the most attention to some source words first.

    Without weights, it yields those near the expected position, as if both sides had the same word order.

    Args:
        words: Numbers of the source words.
        source_words: Number of words in the source sentence.
        target_words: Number of words in the translation.
        weights: float [U, W], attention of each target word to each source word.
    """
    rows, columns = min(target_words, len(weights)), weights.shape[1]
    within = [word for word in words if word < columns]
    expected = words[len(words) // 2] * target_words // source_words
    if rows and within:
        attention = weights[:rows, within].sum(axis=1)
        yield from np.lexsort((np.abs(np.arange(rows) - expected), -attention)).tolist()
    else:
        near = range(max(0, expected - NEAR_WORDS), min(target_words, expected + NEAR_WORDS))
        yield from sorted(near, key=lambda word: abs(word - expected))
