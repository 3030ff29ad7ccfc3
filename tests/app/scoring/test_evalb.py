"""The bracketing scores equal those of the C program EVALB."""

from pathlib import Path

import pytest

from keras_nmt.app.scoring.evalb import Evaluation, Scores, SentenceScore, Status, evaluate, score_sentence
from keras_nmt.pipelines.trees.tree import Leaf, Tree, TreeError, parse_tree

FOLDER = Path(__file__).parent / "evalb"
PRINTED = (FOLDER / "figures.txt").read_text(encoding="utf-8")
NAMES = {
    "Number of sentence": "sentences",
    "Number of Error sentence": "errors",
    "Number of Skip  sentence": "skipped",
    "Number of Valid sentence": "valid",
    "Bracketing Recall": "recall",
    "Bracketing Precision": "precision",
    "Bracketing FMeasure": "f1",
    "Complete match": "complete_match",
    "Average crossing": "average_crossing",
    "No crossing": "no_crossing",
    "2 or less crossing": "two_or_less_crossing",
    "Tagging accuracy": "tagging_accuracy",
}


def parse_or_none(line: str) -> Tree | None:
    try:
        return parse_tree(line)
    except TreeError:
        return None


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    gold, test = ((FOLDER / name).read_text(encoding="utf-8").splitlines() for name in ("gold.trees", "test.trees"))
    return evaluate(map(parse_tree, gold), map(parse_or_none, test))


def row(number: int, score: SentenceScore) -> str:
    """Prints a sentence as the C program does."""

    def percent(part: int, whole: int) -> float:
        return 100.0 * part / whole if whole else 0.0

    recall, precision = percent(score.matched, score.gold), percent(score.matched, score.test)
    return (
        f"{number:4d}  {score.length:3d}    {score.status:d}  {recall:6.2f} {precision:6.2f}   "
        f"{score.matched:3d}    {score.gold:3d}  {score.test:3d}    {score.crossing:3d}   "
        f"{score.words:4d}  {score.correct_tags:4d}   {percent(score.correct_tags, score.words):6.2f}"
    )


def printed_summary(title: str) -> dict[str, str]:
    lines = PRINTED.partition(f"-- {title} --\n")[2].partition("\n\n")[0].splitlines()
    return {NAMES[name.strip()]: value.strip() for name, _, value in (line.partition("=") for line in lines)}


def summary(scores: Scores) -> dict[str, str]:
    return {name: f"{x:d}" if isinstance(x, int) else f"{x:.2f}" for name, x in scores.as_dict().items()}


def score(gold: str, test: str) -> SentenceScore:
    return score_sentence(parse_tree(gold), parse_or_none(test))


def test_every_sentence_has_the_counts_of_the_c_program(evaluation: Evaluation) -> None:
    expected = [line for line in PRINTED.splitlines() if line[:4].strip().isdigit() and len(line) > 60]
    assert len(expected) == 200
    assert [row(number, found) for number, found in enumerate(evaluation.rows, start=1)] == expected


def test_the_summary_is_that_of_the_c_program(evaluation: Evaluation) -> None:
    assert summary(evaluation.all) == printed_summary("All")
    assert summary(evaluation.short) == printed_summary("len<=40")
    assert evaluation.all.skipped > 0
    assert evaluation.all.errors > 0
    assert evaluation.short.sentences < evaluation.all.sentences


def test_scores_are_printed_as_a_table_and_given_as_json_values(evaluation: Evaluation) -> None:
    lines = evaluation.lines()
    assert lines[0] == "EVALB, COLLINS.prm               all  <= 40 words"
    f1 = printed_summary("All")["f1"], printed_summary("len<=40")["f1"]
    assert f"F1{'':26}{f1[0]:>8}{f1[1]:>13}" in lines
    assert f"skipped (no parse)          {evaluation.all.skipped:>8}{evaluation.short.skipped:>13}" in lines
    assert evaluation.as_dict()["all"]["f1"] == evaluation.all.f1
    assert evaluation.as_dict()["at_most_40_words"]["recall"] == evaluation.short.recall


@pytest.mark.parametrize(
    ("gold", "test", "expected"),
    [
        pytest.param(
            "(TOP (S (NP (DT a) (NN b)) (VP (VBZ c))))",
            "(TOP (S (NP (DT a)) (VP (NN b) (VBZ c))))",
            SentenceScore(3, Status.SCORED, matched=1, gold=3, test=3, crossing=1, words=3, correct_tags=3),
            id="a bracket that overlaps",
        ),
        pytest.param(
            "(TOP (NP-SBJ (NP=2 (NN a)) (PRT (RP b))))",
            "(TOP (NP (NP (NNS a)) (ADVP (RP b))))",
            SentenceScore(2, Status.SCORED, matched=3, gold=3, test=3, words=2, correct_tags=1),
            id="functions are cut, PRT equals ADVP",
        ),
        pytest.param(
            "(TOP (NP (NP (NP (NN a)))))",
            "(TOP (NP (NN a)))",
            SentenceScore(1, Status.SCORED, matched=1, gold=3, test=1, words=1, correct_tags=1),
            id="a bracket counts as often as it stands there",
        ),
        pytest.param(
            "(TOP (S (`` ``) (NP (NN a) (, ,)) (. .)))",
            "(TOP (S (NP (`` ``) (NN a)) (, ,) (X (. .))))",
            SentenceScore(4, Status.SCORED, matched=2, gold=2, test=2, words=1, correct_tags=1),
            id="punctuation is left out",
        ),
        pytest.param("(NP (NN a) (. .))", "(NP (NN a) (NN .))", SentenceScore(2, Status.ERROR), id="a wrong tag of ."),
        pytest.param("(NP (NN a))", "(NP (NN b))", SentenceScore(1, Status.ERROR), id="another word"),
        pytest.param("(NP (NN a) (. .))", "", SentenceScore(2, Status.SKIPPED), id="no parse"),
        pytest.param("(NP (NN a) (. .))", "(NP (. .))", SentenceScore(2, Status.SKIPPED), id="no word in the parse"),
    ],
)
def test_the_rules_of_evalb(gold: str, test: str, expected: SentenceScore) -> None:
    assert score(gold, test) == expected


def test_sentences_that_are_not_scored_do_not_change_the_scores() -> None:
    right = parse_tree("(TOP (NP (DT a) (NN b)))")
    other = Tree("TOP", (Tree("NP", (Leaf("NN", "c"),)),))
    assert evaluate([right] * 3, [right, None, other]).all.as_dict() == {
        "sentences": 3,
        "errors": 1,
        "skipped": 1,
        "valid": 1,
        "recall": 100.0,
        "precision": 100.0,
        "f1": 100.0,
        "complete_match": 100.0,
        "average_crossing": 0.0,
        "no_crossing": 100.0,
        "two_or_less_crossing": 100.0,
        "tagging_accuracy": 100.0,
    }


def test_a_parser_without_output_has_scores_of_zero() -> None:
    found = evaluate([parse_tree("(NP (NN a))")], [None]).all
    assert (found.recall, found.precision, found.f1, found.complete_match, found.average_crossing) == (0, 0, 0, 0, 0)
    assert evaluate([], []).all.f1 == 0


def test_sentences_of_forty_words_are_short() -> None:
    forty, longer = (Tree("TOP", (Leaf("NN", "a"),) * count) for count in (40, 41))
    assert evaluate([forty, longer], [forty, longer]).short.sentences == 1


def test_another_number_of_outputs_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        evaluate([parse_tree("(NP (NN a))")], [])
