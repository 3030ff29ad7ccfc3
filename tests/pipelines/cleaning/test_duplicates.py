"""Exact and near duplicates are found across chunks, in any number of key ranges."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.pipelines.cleaning import duplicates
from keras_nmt.pipelines.cleaning.duplicates import (
    BANDS,
    EqualKeys,
    digests,
    equal_keys,
    fingerprints,
    normalized,
    similarity,
)

LONG = "the old man and his grey dog went slowly down to the harbour in the first light of the morning to see the boats"


def written(folder: Path, chunks: list[list[tuple[str, str]]]) -> tuple[list[Path], list[Path]]:
    keys, sketches = [], []
    for number, pairs in enumerate(chunks):
        prints = fingerprints(pairs)
        for files, name, array in ((keys, "keys", prints.keys), (sketches, "sketches", prints.sketches)):
            files.append(folder / f"{number}.{name}.npy")
            np.save(files[-1], array)
    return keys, sketches


@settings(max_examples=25, deadline=None)
@given(chunks=st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=9), min_size=1, max_size=5))
def test_all_duplicates_but_the_first_are_found(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[list[str]]
) -> None:
    keys, _ = written(tmp_path_factory.mktemp("chunks"), [[(a, "x") for a in chunk] for chunk in chunks])
    joined = [a for chunk in chunks for a in chunk]
    expected = {i: joined.index(a) for i, a in enumerate(joined) if joined.index(a) < i}
    for at_once in (3, 1000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(duplicates, "KEYS_AT_ONCE", at_once)
            found = list(equal_keys(keys, 0))
        assert {int(r): int(f) for part in found for r, f in zip(part.rows, part.first, strict=True)} == expected


def test_pairs_that_differ_only_in_case_and_punctuation_are_near_duplicates(tmp_path: Path) -> None:
    keys, sketches = written(tmp_path, [[("A house.", "Ein Haus.")], [("other", "anders"), ("a HOUSE!", "ein Haus")]])
    for column in range(1, 1 + BANDS):
        (found,) = equal_keys(keys, column)
        assert (found.rows.tolist(), found.first.tolist()) == ([2], [0])
    assert similarity(sketches, found).tolist() == [1.0]
    assert not next(iter(equal_keys(keys, 0))).rows.size


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Ein Müller für Größe.", "Ein Mu\u0308ller fu\u0308r Gro\u0308ße."),
        ("５００ km", "500 km"),  # noqa: RUF001
        ("من می\u200cخواهم", "من میخواهم"),  # noqa: RUF001
        ("Sil\u00adbe", "Silbe"),
        ("ﬁn", "fin"),
        ("\ud55c\uad6d", "\u1112\u1161\u11ab\u1100\u116e\u11a8"),
    ],
)
def test_the_unicode_form_does_not_matter(text: str, other: str) -> None:
    first, second = (fingerprints([pair]).keys.tolist() for pair in ((text, "x"), (other, "x")))
    assert first == second
    assert normalized(text) == normalized(other)


def test_the_estimated_similarity_is_near_the_true_one(tmp_path: Path) -> None:
    words = LONG.split()
    changed = [*words[:6], "cat", *words[7:]]
    pairs = [(" ".join(words), LONG), (" ".join(changed), LONG)]
    _, sketches = written(tmp_path, [pairs])
    side = len(words) + 1  # bigrams with both ends; changing a word changes two of them
    true = (2 * side - 2) / (2 * side + 2)
    (estimated,) = similarity(sketches, EqualKeys(np.array([1]), np.array([0])))
    assert estimated == pytest.approx(true, abs=0.15)


def test_pairs_of_similarity_nine_tenths_nearly_always_share_a_band(tmp_path: Path) -> None:
    words = LONG.split()
    pairs = [(" ".join(words), f"{LONG} {i}") for i in range(200)]
    keys, _ = written(tmp_path, [pairs])
    later = np.concatenate([part.rows for band in range(1, 1 + BANDS) for part in equal_keys(keys, band)])
    assert len(np.unique(later)) > 190


def test_a_pair_and_its_reverse_are_not_near_duplicates(tmp_path: Path) -> None:
    german = "der alte Mann und sein grauer Hund gingen langsam zum Hafen hinunter im ersten Licht des Morgens"
    keys, sketches = written(tmp_path, [[(LONG, german), (german, LONG)]])
    assert not any(part.rows.size for column in range(1 + BANDS) for part in equal_keys(keys, column))
    assert similarity(sketches, EqualKeys(np.array([1]), np.array([0])))[0] < 0.1


def test_rows_that_are_left_out_are_not_found(tmp_path: Path) -> None:
    keys, _ = written(tmp_path, [[("a", "x")] * 3, [("a", "x")]])
    (found,) = equal_keys(keys, 0, np.array([True, False, False, True]))
    assert (found.rows.tolist(), found.first.tolist()) == ([2], [1])


def test_marks_are_part_of_words() -> None:
    assert normalized("दिन की।") != normalized("दान कि।")


def test_text_without_words_is_similar_only_to_itself(tmp_path: Path) -> None:
    keys, _ = written(tmp_path, [[("...", "???"), ("!!!", "---"), ("...", "???")]])
    (found,) = equal_keys(keys, 1)
    assert found.rows.tolist() == [2]


def test_digests_are_stable_and_normalised_words_have_neither_case_nor_punctuation() -> None:
    assert digests(["a", "b"]).tolist() == [digests(["a"])[0], digests(["b"])[0]]
    assert digests([]).tolist() == []
    assert normalized("Das Haus, GROSS!") == "das haus gross"
    assert normalized("...") == "..."
