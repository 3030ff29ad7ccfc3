"""Repairs the spans of target fragments: makes protected spans contiguous, and gives empty spans a word."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from keras_nmt.app.server.documents.projection.fragments import SourceFragment, TargetFragment
from keras_nmt.app.server.documents.tokens import tokens_of

MAX_OCCURRENCES = 50  # tried occurrences of a protected span's first word in the translation
NEAR_WORDS = 25  # words tried before and after the expected position if there are no attention weights


def gather_protected(projected: Sequence[TargetFragment], protected: Mapping[int, str], default: int) -> None:
    """Reduces each protected span, such as code or a name, to one contiguous stretch of the translation.

    The function chooses the first stretch that has the same text as the span, in upper or lower case. If there is no
    such stretch, the function chooses the longest stretch that is assigned to the span. The other fragments of the span
    are assigned to the nearest unprotected span before them, or else to the nearest unprotected span after them.

    Args:
        projected: Fragments of the translation, whose spans the function changes.
        protected: Texts of the protected spans, by span number.
        default: Number of the span to which these other fragments are assigned if the translation has no unprotected
            span.
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
    """Assigns a target word to each span in `numbers` that has no word.

    The function chooses the target word with the most attention to the source words of the span. If this target word
    is the only word of another span, or is in a protected span, the function tries the target word with the next most
    attention. A span stays empty if no target word can be chosen.

    Args:
        fragments: Fragments of the source sentence.
        projected: Fragments of the translation, whose spans the function changes.
        numbers: Numbers of the spans that should have a word.
        protected: Numbers of the spans that keep all their words.
        weights: float [U, W]. The attention of each of U target words to each of W source words; [0, W] if no
            weights are known.
    """
    counts = Counter(token.span for token in projected if not token.is_mark)
    by_word: dict[int, list[TargetFragment]] = defaultdict(list)
    for token in projected:
        if not token.is_mark:
            by_word[token.word].append(token)
    source_words: dict[int, set[int]] = defaultdict(set)
    for fragment in fragments:
        source_words[fragment.span].add(fragment.word)
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
                return  # all words were tried, so no other span can get a word either


def ranked_words(words: Sequence[int], source_words: int, target_words: int, weights: np.ndarray) -> Iterator[int]:
    """Yields the indices of target words, ranked by their attention to the source words `words`.

    The target word with the most attention comes first. Without weights for `words`, yields only the target words near
    the expected position, the nearest first. The expected position is the index of the middle word in `words`, scaled
    to the length of the translation.

    Args:
        words: Indices of source words, ascending.
        source_words: Number of words in the source sentence.
        target_words: Number of words in the translation.
        weights: float [U, W]. The attention of each target word to each source word; [0, W] if no weights are known.
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
