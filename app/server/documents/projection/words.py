"""Projects the source spans onto the words of a translation, according to the word alignment."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import groupby, pairwise

from keras_nmt.app.server.documents.projection.fragments import SourceFragment, TargetFragment
from keras_nmt.app.server.documents.tokens import Token, is_name_or_number

WordPairs = Sequence[tuple[int, int]]  # index of a source word, index of a target word that translates it


def link_words(fragments: Sequence[SourceFragment], tokens: Sequence[Token], pairs: WordPairs) -> list[int]:
    """Links each target word to a source word.

    If a name or number occurs exactly once in each sentence, the two words that contain the name or number are linked,
    even if the alignment is different. A target word without a link gets the link of the previous target word. If the
    first target word has no link, the function links it to source word 0.

    Args:
        fragments: Fragments of the source sentence.
        tokens: Tokens of the translation.
        pairs: Word alignment: indices of a source word and of a target word that translates the source word.

    Returns:
        The index of the source word for each target word.
    """
    links = {target: source for source, target in pairs if source <= fragments[-1].word}
    wholes = [
        "".join(fragment.text for fragment in group) for _, group in groupby(fragments, lambda fragment: fragment.token)
    ]
    source_counts, target_counts = Counter(wholes), Counter(token.text for token in tokens)
    words = {
        wholes[fragment.token]: fragment.word
        for fragment in fragments
        if is_name_or_number(wholes[fragment.token], fragment.token == 0)
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
    """Splits the tokens of a translation into fragments; assigns all fragments except punctuation marks to spans.

    Args:
        fragments: Fragments of the source sentence.
        tokens: Tokens of the translation.
        links: Index of the source word for each target word.
    """
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
    """Splits a word into fragments whose lengths are in the proportion of `lengths`.

    An example is a word whose source word has a large first letter in a separate span. Each fragment has at least one
    character, with its combining marks, as long as characters are left. If the word has fewer characters than `lengths`
    has elements, the fragment with the greatest length gets the whole word, and the other fragments are empty.

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
