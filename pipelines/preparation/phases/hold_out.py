"""First phase: reads the dev and test sets, whose text must not appear in the training data."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keras_nmt.pipelines.cleaning.duplicates import digests, normalized
from keras_nmt.pipelines.cleaning.filters import TextPair, decode, repaired
from keras_nmt.pipelines.cleaning.language_identification import language_code
from keras_nmt.pipelines.preparation.chunk_files import write_array
from keras_nmt.pipelines.preparation.dev_set import DevCorpus, DevSet
from keras_nmt.pipelines.preparation.state import Preparation


def hold_out(preparation: Preparation) -> DevSet:
    """Reads and returns the dev set, and writes the digests of all dev and test text for the next phase.

    Raises:
        DataError: No pair of the dev set has text.
    """
    opened = preparation.opened
    found = [np.zeros(0, np.uint64)]
    dev_corpora = []
    for number, one in enumerate((*opened.dev, *opened.held_out)):
        raw = list(one.corpus)
        well_formed = (pair for pair in raw if not pair.malformed)
        pairs = [text for pair in well_formed if (text := decode(pair.source, pair.target))]
        repaired_pairs = [(repaired(source) or source, repaired(target) or target) for source, target in pairs]
        found.append(held_out_digests([*pairs, *repaired_pairs], (one.pair.source, one.pair.target)).ravel())
        if number < len(opened.dev):
            dev_corpora.append(DevCorpus(one.corpus, raw, opened.languages.tagger(one.pair.target, one.spec.tag)))
    write_array(preparation.job.held_out, np.unique(np.concatenate(found)))
    return DevSet.read(dev_corpora, preparation.options.recipe)


def held_out_digests(pairs: Sequence[TextPair], languages: tuple[str, str]) -> NDArray[np.uint64]:
    """Returns the digests of the normalised words of all sources and all targets, uint64 [2, N].

    A digest also depends on the language, so the same words in two languages have different digests.
    """
    sides = zip(map(language_code, languages), zip(*pairs, strict=True), strict=True) if pairs else ()
    found = [digests([f"{language}\t{normalized(text)}" for text in texts]) for language, texts in sides]
    return np.stack(found) if found else np.zeros((2, 0), np.uint64)
