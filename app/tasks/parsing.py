"""Constituency parsing: words into their tree (Vaswani et al. 2017, section 6.3), scored by the rules of EVALB."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sentencepiece

from keras_nmt.app.errors import UserError
from keras_nmt.app.tasks.samples import blocks
from keras_nmt.app.tasks.task import Piece, Task
from keras_nmt.app.tasks.wording import CardWording, Measure, PageWording
from keras_nmt.pipelines.cleaning.filters import TextPair
from keras_nmt.pipelines.preparation.recipes import Recipe
from keras_nmt.pipelines.shards.records import IdPair
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.trees.drawing import drawn
from keras_nmt.pipelines.trees.linearization import linearize, tree_of
from keras_nmt.pipelines.trees.pieces import WORD_PIECE, piece_of
from keras_nmt.pipelines.trees.tree import Tree, parse_tree
from keras_nmt.pipelines.trees.words import ptb_words
from keras_nmt.pipelines.vocabulary.tags import Languages
from keras_nmt.pipelines.vocabulary.training import EOS

if TYPE_CHECKING:
    from keras_nmt.app.decoding.network.protocol import Network
    from keras_nmt.app.decoding.options import DecodingOptions
    from keras_nmt.app.decoding.translation_graph import TranslationGraph
    from keras_nmt.app.scoring.evalb import Evaluation
    from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary

DRAWING_WIDTH = 120  # columns


@dataclass(frozen=True)
class TreeRecipe(Recipe):
    """The recipe of parsing: the source is words with a marker before each, the target is the actions of the tree."""

    def symbols(self, pairs: Iterable[TextPair]) -> tuple[str, ...]:
        """Returns the pieces of all actions of the trees, `<XX>` first."""
        actions = {action for _, tree in pairs for action in linearize(parse_tree(tree)).actions}
        labels = sorted({action[1:] for action in actions if action[0] == "("})
        return (WORD_PIECE, *(piece_of(f"{bracket}{label}") for label in labels for bracket in "()"))

    def vocabulary_text(self, pairs: Iterable[TextPair]) -> Iterator[str]:
        """Yields the words of each sentence."""
        return (source for source, _ in pairs)

    def encode(self, processor: sentencepiece.SentencePieceProcessor, pairs: Sequence[TextPair]) -> list[IdPair]:
        """Returns the token ids of the words and of the actions of each tree."""
        word = processor.piece_to_id(WORD_PIECE)
        encoded: list[IdPair] = []
        for source, tree in pairs:
            words = processor.encode(source.split(), num_threads=1)
            actions = [processor.piece_to_id(piece_of(action)) for action in linearize(parse_tree(tree)).actions]
            encoded.append(([token for pieces in words for token in (word, *pieces)] + [EOS], [*actions, EOS]))
        return encoded


class Parsing(Task):
    """The task of parsing; see `Task`."""

    name, verb, output = "parsing", "parse", "tree"
    roles: LanguagePair | None = LanguagePair("words", "tree")
    metric, metric_label = "f1", "F1"
    in_ctranslate2 = False
    recipe: Recipe = TreeRecipe(
        "parsing",
        unused_filters=(
            *("garbled", "too_long", "length_ratio", "identical", "few_letters", "numbers", "links", "language"),
            *("duplicate", "near_duplicate"),
        ),
    )
    piece: Piece = "line"
    card = CardWording(
        pipeline_tag="other",  # the Hub has no name for it: a tree is more than labels of tokens, and no free text
        tags=("constituency-parsing", "parsing"),
        introduction="It finds the constituents of a sentence, such as noun phrases and clauses, and writes them as a "
        "bracketed tree (section 6.3 of the paper). Every output is a well-formed tree over exactly the words given.",
        input="words",
        outputs="trees",
        examples="sentences",
        vocabulary="of words, and one for each bracket of a tree",
        room="brackets",
        usage="Each text is one sentence. Its words and marks are separated by spaces, as in the Penn Treebank: "
        "`They ca n't .` The command `nmt parse` divides a sentence into such words. Words of the tree have the tag "
        "`XX`, as the model predicts constituents only; brackets in the text become `-LRB-` and `-RRB-`.",
        measures=(
            Measure("recall", "all.recall", "", "recall"),
            Measure("precision", "all.precision", "", "precision"),
            Measure("F1", "all.f1", "dev_f1", "f1"),
            Measure("complete match", "all.complete_match", "dev_complete_match", "exact_match"),
        ),
        dev_measure="labelled brackets by the rules of EVALB",
        evaluated_by=" by the rules of EVALB with its parameters COLLINS.prm, in percent. Words got the tags of the "
        "reference, because EVALB finds punctuation by them",
        limits=(
            "Each sentence is parsed separately. Text of several sentences must be split first.",
            "The trees have constituents only: no parts of speech, no function tags, no empty elements.",
            "Sentences that are longer than those of the training data, and subjects and registers that are rare in "
            "it, are parsed worse.",
            "A tree is always well-formed, but it can be wrong. Only the scores above were measured.",
        ),
    )
    page = PageWording(
        heading="Parse",
        input="Sentence to parse",
        placeholder="Type a sentence here; each line is one sentence",
        busy="Parsing …",
        hint="Each line is one sentence. Hold the pointer over a label to see what it means.",
        display="tree",
    )

    def title(self, languages: Languages) -> str:
        """Returns "Constituency parsing"."""
        return "Constituency parsing"

    def prepared(self, text: str) -> str:
        """Returns the words of a sentence, as in the Penn Treebank, with spaces between them."""
        return " ".join(ptb_words(text))

    def model_settings(self, pieces: Sequence[str], given: Mapping[str, object]) -> dict[str, Any]:
        """Returns the id of the marker before each word, by which the decoder is told the next word.

        A preset can turn this off with `word_token = 0`.
        """
        return {"word_token": 0 if given.get("word_token") == 0 else pieces.index(WORD_PIECE)}

    def engine(
        self, transformer: "Network", vocabulary: "AnyVocabulary", options: "DecodingOptions"
    ) -> "TranslationGraph":
        """Returns the engine whose search yields only trees over the words of its input."""
        from keras_nmt.app.decoding.parsing.graph import ParsingGraph

        return ParsingGraph(transformer, vocabulary, options)

    def dev_scores(
        self, sources: Sequence[str], outputs: Sequence[str], references: Sequence[str], languages: Languages
    ) -> dict[str, float]:
        """Returns the labelled F1 and the share of sentences whose tree is right, in percent."""
        found = self.score(outputs, [references])
        return {"dev_f1": round(found.all.f1, 2), "dev_complete_match": round(found.all.complete_match, 2)}

    def samples(self, sources: Sequence[str], outputs: Sequence[str], references: Sequence[str]) -> str:
        """Returns drawings of the trees and of the references. The words of both have the tags of the reference."""
        trees: list[tuple[str, str]] = []
        for output, reference in zip(outputs, references, strict=True):
            gold = parse_tree(reference)
            tree = tagged_like(gold, output)
            trees += [
                ("tree", drawn(tree, DRAWING_WIDTH) if tree else "none"),
                ("reference", drawn(gold, DRAWING_WIDTH)),
            ]
        return blocks(trees)

    def score(
        self,
        outputs: Sequence[str],
        references: Sequence[Sequence[str]],
        *,
        language: str = "",
        tokenizer: str | None = None,
    ) -> "Evaluation":
        """Returns labelled precision, recall, F1 and so on by the rules of EVALB.

        The parser predicts no tags, so each word of an output gets the tag that it has in the reference.
        """
        from keras_nmt.app.scoring.evalb import evaluate

        if len(references) > 1:
            raise UserError(f"expected one reference for each tree, got {len(references)}")
        (gold,) = references
        if len(gold) != len(outputs):
            raise UserError(f"{len(outputs)} trees but {len(gold)} references: expected one reference for each tree")
        if not gold:
            raise UserError("nothing to score: expected at least one tree, got none")
        trees = [parse_tree(line) for line in gold]
        return evaluate(trees, [tagged_like(tree, output) for tree, output in zip(trees, outputs, strict=True)])


def tagged_like(gold: Tree, output: str) -> Tree | None:
    """Returns the tree `output` with the tags that the words have in `gold`, or None if there is no output.

    If the words of the two trees differ, the tags are those of the output.
    """
    if not output:
        return None
    tree = parse_tree(output)
    found, wanted = linearize(tree), linearize(gold)
    return tree_of(found.words, found.actions, wanted.tags) if found.words == wanted.words else tree
