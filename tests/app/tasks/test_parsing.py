"""Parsing by the command line: from a treebank to trees, with a parser that has hardly learnt anything."""

import json
from pathlib import Path

import pytest

from keras_nmt.app.tasks.parsing import Parsing, action_pieces, tagged_like
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.trees.linearization import linearize
from keras_nmt.pipelines.trees.pieces import rest_labels
from keras_nmt.pipelines.trees.rests import with_rests
from keras_nmt.pipelines.trees.tree import parse_tree
from tests.app.command_line import nmt, objects, succeeded
from tests.app.tasks.corpora import TREES

SENTENCES = ["the cat sat on the mat .", "(", "wholly unseen words ( with brackets ) here", "", "word " * 60]


def test_the_data_has_a_marker_before_each_word_and_the_actions_of_each_tree(parser_run: Path, treebank: Path) -> None:
    manifest = Manifest.load(treebank / "data")
    assert manifest.task == "parsing"
    assert manifest.split("train").cleaning["dropped"].keys() <= {"too_many_tokens"}  # no filter, no duplicate
    pieces = manifest.vocabulary().pieces()
    assert {"<XX>", "<XX:DT>", "<(S>", "<)S>", "<(NP>", "<)NP>", "<(NP+>", "<)NP+>"} <= set(pieces)
    processor = manifest.vocabulary().processor
    ((source, target),) = Parsing.recipe.encode(processor, [("a cat", "(TOP (NP (DT a) (?? cat)))")])
    assert source.count(pieces.index("<XX>")) == 2
    assert [pieces[i] for i in target] == ["<(NP>", "<XX:DT>", "<XX>", "<)NP>", "</s>"]  # no tree has the tag ??
    ((_, target),) = Parsing.recipe.encode(processor, [("a b", "(TOP (NP (NP (DT a)) (NN b)))")])
    assert " ".join(pieces[i] for i in target) == "<(NP> <XX:DT> <(NP+> <XX:NN> <)NP+> <)NP> </s>"


def test_every_line_gets_a_tree_over_exactly_its_words(parser_run: Path) -> None:
    done = succeeded(nmt("parse", parser_run, "--tokenized", stdin="".join(f"{s}\n" for s in SENTENCES).encode()))
    assert len(done.lines) == len(SENTENCES)
    for sentence, line in zip(SENTENCES, done.lines, strict=True):
        words = [{"(": "-LRB-", ")": "-RRB-"}.get(word, word) for word in sentence.split()]
        assert [leaf.word for leaf in parse_tree(line).leaves()] == words if words else line == ""


def test_the_dev_set_is_scored_by_f1(parser_run: Path) -> None:
    results = [json.loads(line) for line in (parser_run / "dev.jsonl").read_text().splitlines()]
    assert {"dev_f1", "dev_complete_match", "dev_loss"} <= results[-1].keys()


def test_evaluate_prints_the_scores_of_evalb(parser_run: Path, treebank: Path) -> None:
    done = succeeded(nmt("evaluate", parser_run, "--test-set", f"trees:{treebank / 'dev.trees'}", "--json"))
    assert json.loads(done.out)["all"]["sentences"] == 4
    output = treebank / "gold.txt"
    output.write_text("\n".join(TREES[180:184]) + "\n")
    given = ("--hypothesis", output, "--reference", output, "--task", "parsing", "--json")
    assert json.loads(succeeded(nmt("evaluate", *given)).out)["all"]["f1"] == 100.0


def test_a_tree_has_the_score_it_was_found_with(parser_run: Path, treebank: Path, tmp_path: Path) -> None:
    words, trees = tmp_path / "words", tmp_path / "trees"
    words.write_text("the cat sat\n\n( a cat )\n")
    labels = rest_labels(Manifest.load(treebank / "data").vocabulary().pieces())
    assert "NP" in labels
    found = succeeded(nmt("parse", parser_run, "--tokenized", "--scores", words))
    found_trees, scores = zip(*(line.split("\t") for line in found.lines), strict=True)
    trees.write_text("".join(f"{tree}\n" for tree in found_trees))
    done = objects(succeeded(nmt("score", parser_run, "--source", words, "--target", trees, "--json")))
    assert [one["score"] for one in done] == pytest.approx([float(score) for score in scores], abs=1e-4)
    for one, tree in zip(done, found_trees, strict=True):
        actions = [*action_pieces(with_rests(parse_tree(tree), labels)), "</s>"] if tree else []
        assert [token["piece"] for token in one["tokens"]] == actions
        assert one["log_probability"] == pytest.approx(
            sum(token["log_probability"] for token in one["tokens"]), abs=1e-4
        )


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ("(TOP (NP (DT a) (NN dog)))", "the words of the tree are 'a dog', those of the source 'a cat'"),
        ("(TOP (NP (DT a) (NN cat))", "expected a tree such as (TOP (S (NP (PRP It)) …))"),
        ("(TOP (NP (-NONE- *)))", "the words of the tree are '', those of the source 'a cat'"),
        ("(TOP (QUARK (DT a) (NN cat)))", "has a label that the model does not know"),
    ],
)
def test_what_is_not_a_tree_over_the_words_is_not_scored(
    parser_run: Path, tmp_path: Path, tree: str, message: str
) -> None:
    words, trees = tmp_path / "words", tmp_path / "trees"
    words.write_text("a cat\na cat\n")
    trees.write_text(f"(TOP (NP-SBJ (DT a) (NN cat)))\n{tree}\n")
    done = nmt("score", parser_run, "--source", words, "--target", trees)
    assert done.complaints[0].startswith(f"nmt score: {trees} line 2: ")
    assert done.complaints[0].endswith(message)


def test_output_gets_the_tags_of_the_reference_if_the_words_are_the_same() -> None:
    gold = parse_tree("(TOP (S (NP (PRP It)) (VP (VBZ works)) (. .)))")
    same = tagged_like(gold, "(TOP (NP (XX It) (XX works) (XX .)))")
    assert same is not None
    assert linearize(same).tags == ("PRP", "VBZ", ".")
    other = tagged_like(gold, "(TOP (NP (XX It)))")
    assert other is not None
    assert linearize(other).tags == ("XX",)
    assert tagged_like(gold, "") is None
