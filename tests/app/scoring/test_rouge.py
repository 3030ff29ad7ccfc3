import json
from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.tokenizers import DefaultTokenizer

from keras_nmt.app.errors import UserError
from keras_nmt.app.scoring.rouge import WordTokenizer, score

SUMMARY, REFERENCE = "the dogs sat on a mat", "a dog is sitting on the mat today"


def test_the_measures_are_computed_by_their_definitions() -> None:
    scores = score([SUMMARY], [REFERENCE])
    # Stems: the dog sat on a mat | a dog is sit on the mat today. `dogs` matches `dog`, but `sat` is not `sit`.
    # Common words: the, dog, on, a, mat, so precision 5/6 and recall 5/8.
    assert scores.rouge1 == pytest.approx(100 * 2 * (5 / 6) * (5 / 8) / (5 / 6 + 5 / 8))
    # No pair of adjacent words is common. The longest common subsequence is dog, on, mat: precision 3/6, recall 3/8.
    assert scores.rouge2 == 0
    assert scores.rougeL == pytest.approx(100 * 2 * (3 / 6) * (3 / 8) / (3 / 6 + 3 / 8))


def test_pairs_of_words_count_as_often_as_both_texts_have_them() -> None:
    # Pairs of the summary: big cat, cat big, big cat, cat sleeps. Pairs of the reference: big cat, cat sleeps.
    scores = score(["big cat big cat sleeps"], ["Big cats sleep."])
    assert scores.rouge2 == pytest.approx(100 * 2 * (2 / 4) * (2 / 2) / (2 / 4 + 2 / 2))
    assert scores.rouge1 == pytest.approx(100 * 2 * (3 / 5) * (3 / 3) / (3 / 5 + 3 / 3))


def test_the_score_of_several_summaries_is_their_mean() -> None:
    scores = score(["one two", "three four", ""], ["one two", "three five", "six"])
    assert scores.rouge1 == pytest.approx((100 + 50 + 0) / 3)
    assert scores.rouge2 == pytest.approx((100 + 0 + 0) / 3)


def test_the_best_reference_counts_for_each_measure_by_itself() -> None:
    summary = "red green blue"
    words, pairs = "blue green red", "red green white black"
    assert score([summary], [words]).rouge2 == 0
    scores = score([summary], [words], [pairs])
    assert scores.rouge1 == pytest.approx(100)  # all words of `words`
    assert scores.rouge2 == pytest.approx(100 * 2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))  # one pair of `pairs`
    assert scores.rougeL == pytest.approx(100 * 2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4))
    assert scores.signature.startswith("nrefs:2|")


def test_german_umlauts_are_letters() -> None:
    scores = score(["Die Häuser können schön sein"], ["die häuser konnen schon sein"], language="de")
    assert scores.rouge1 == pytest.approx(60)  # die, häuser, sein
    assert scores.rouge2 == pytest.approx(25)  # die häuser
    decomposed = score(["ha\u0308user"], ["häuser"], language="de-AT")
    assert decomposed.rouge1 == 100
    # rouge-score alone reads `sch n` and `k nnen`, and so takes `schön` for `schän`.
    assert score(["schön"], ["schän"], language="de").rouge1 == 0


def test_each_chinese_character_is_a_word() -> None:
    scores = score(["我喜欢这只猫。"], ["我喜欢那只狗。"], language="zh")
    assert scores.rouge1 == pytest.approx(100 * 4 / 6)  # 我喜欢只
    assert scores.rouge2 == pytest.approx(100 * 2 / 5)  # 我喜, 喜欢
    assert scores.rougeL == pytest.approx(100 * 4 / 6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Schöne Häuser, 2 Autos: 猫です", ["schöne", "häuser", "2", "autos", "猫", "で", "す"]),
        ("snake_case l'homme", ["snake", "case", "l", "homme"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),  # marks belong to their letters
        ("ที่บ้าน", ["ที่", "บ้", "า", "น"]),
        ("データbase、2024年", ["デ", "ー", "タ", "base", "2024", "年"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("... !?", []),
    ],
)
def test_text_of_any_script_is_divided_into_words(text: str, words: list[str]) -> None:
    assert WordTokenizer().tokenize(text) == words


@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_ascii_text_is_divided_as_by_rouge_score(text: str) -> None:
    assert WordTokenizer().tokenize(text) == DefaultTokenizer(use_stemmer=False).tokenize(text)


def test_only_english_is_stemmed() -> None:
    assert score(["cats"], ["cat"], language="en-GB").rouge1 == 100
    assert score(["cats"], ["cat"], language="de").rouge1 == 0


def test_scores_are_formatted_as_json_and_as_text() -> None:
    scores = score([SUMMARY], [REFERENCE])
    signature = f"nrefs:1|tok:a-z0-9|stem:porter|version:rouge-score-{version('rouge-score')}"
    assert scores.lines() == [
        f"ROUGE-1  71.43  {signature}",
        f"ROUGE-2   0.00  {signature}",
        f"ROUGE-L  42.86  {signature}",
    ]
    assert list(json.loads(json.dumps(scores.as_dict()))) == ["rouge1", "rouge2", "rougeL", "signature"]
    assert "tok:words|stem:no" in score(["a"], ["a"], language="fr").signature


def test_unequal_counts_are_reported() -> None:
    with pytest.raises(UserError, match="2 summaries but 3 references: expected one reference a summary"):
        score(["a", "b"], ["a", "b"], ["a", "b", "c"])


def test_an_empty_list_cannot_be_scored() -> None:
    with pytest.raises(UserError, match="nothing to score: expected at least one summary, got none"):
        score([], [])
