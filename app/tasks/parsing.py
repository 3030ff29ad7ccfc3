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
from keras_nmt.pipelines.trees.linearization import WORD, linearize, tree_of
from keras_nmt.pipelines.trees.pieces import WORD_PIECE, is_tag, piece_of, rest_labels, tag_piece
from keras_nmt.pipelines.trees.rests import with_rests
from keras_nmt.pipelines.trees.tree import Tree, TreeError, normal_form, parse_tree
from keras_nmt.pipelines.trees.words import ptb_words
from keras_nmt.pipelines.vocabulary.tags import Languages
from keras_nmt.pipelines.vocabulary.training import EOS, UNK

if TYPE_CHECKING:
    from keras_nmt.app.decoding.network.protocol import Network
    from keras_nmt.app.decoding.options import DecodingOptions
    from keras_nmt.app.decoding.translation_graph import TranslationGraph
    from keras_nmt.app.scoring.evalb import Evaluation
    from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary

DRAWING_WIDTH = 120  # columns


@dataclass(frozen=True)
class TreeRecipe(Recipe):
    """The recipe of parsing: the source is words with a marker before each, the target is the actions of the tree.

    An action that reads a word gives its tag too, if the vocabulary has the tag.
    """

    def symbols(self, pairs: Iterable[TextPair]) -> tuple[str, ...]:
        """Returns the pieces of all actions of the trees: `<XX>`, the tags, and the brackets."""
        trees = [linearize(with_rests(parse_tree(tree))) for _, tree in pairs]
        tags = sorted({tag for tree in trees for tag in tree.tags} - {WORD})
        labels = sorted({action[1:] for tree in trees for action in tree.actions if action[0] == "("})
        brackets = [piece_of(f"{bracket}{label}") for label in labels for bracket in "()"]
        return (WORD_PIECE, *map(tag_piece, tags), *brackets)

    def vocabulary_text(self, pairs: Iterable[TextPair]) -> Iterator[str]:
        """Yields the words of each sentence."""
        return (source for source, _ in pairs)

    def encode(self, processor: sentencepiece.SentencePieceProcessor, pairs: Sequence[TextPair]) -> list[IdPair]:
        """Returns the token ids of the words and of the actions of each tree."""
        word = processor.piece_to_id(WORD_PIECE)
        rests = rest_labels(processor.id_to_piece(number) for number in range(processor.get_piece_size()))
        encoded: list[IdPair] = []
        for source, tree in pairs:
            words = processor.encode(source.split(), num_threads=1)
            actions = [_action_id(processor, piece) for piece in action_pieces(with_rests(parse_tree(tree), rests))]
            encoded.append(([token for pieces in words for token in (word, *pieces)] + [EOS], [*actions, EOS]))
        return encoded


def _action_id(processor: sentencepiece.SentencePieceProcessor, piece: str) -> int:
    """Returns the id of the piece of an action. A tag that the vocabulary does not have becomes `<XX>`."""
    found = processor.piece_to_id(piece)
    return processor.piece_to_id(WORD_PIECE) if found == UNK and is_tag(piece) else found


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
        "`XX` if the training trees had no parts of speech; brackets in the text become `-LRB-` and `-RRB-`.",
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
            "The trees have no function tags and no empty elements.",
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
        hint="Each line is one sentence. Hold the pointer over a label or a word to see what it is.",
        display="tree",
    )

    def title(self, languages: Languages) -> str:
        """Returns "Constituency parsing"."""
        return "Constituency parsing"

    def prepared(self, text: str) -> str:
        """Returns the words of a sentence, as in the Penn Treebank, with spaces between them."""
        return " ".join(ptb_words(text))

    def given(self, text: str, output: str) -> str:
        """Returns the pieces of the actions of a tree, separated by spaces; "" for an empty output of an empty text.

        Raises:
            UserError: The output is not a tree over the words of the text.
        """
        if not text.strip() and not output.strip():
            return ""
        try:
            tree = normal_form(parse_tree(output))
        except TreeError as error:
            raise UserError(f"{error}; expected a tree such as (TOP (S (NP (PRP It)) …))") from error
        words = text.replace("(", "-LRB-").replace(")", "-RRB-").split()
        own = [leaf.word for leaf in tree.leaves()] if tree else []
        if not tree or own != words:
            raise UserError(f"the words of the tree are {' '.join(own)!r}, those of the source {' '.join(words)!r}")
        return " ".join(action_pieces(tree))

    def model_settings(self, pieces: Sequence[str], given: Mapping[str, object]) -> dict[str, Any]:
        """Returns the id of the marker before each word, by which the decoder is told the next word, and of its tags.

        A preset can turn this off with `word_token = 0`.
        """
        if given.get("word_token") == 0:
            return {"word_token": 0, "word_tags": 0}
        return {"word_token": pieces.index(WORD_PIECE), "word_tags": sum(map(is_tag, pieces))}

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

        Each word of an output gets the tag that it has in the reference, because EVALB leaves out punctuation by its
        tag; so a parser is scored by its constituents, whether it predicts tags or not.
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


def action_pieces(tree: Tree) -> list[str]:
    """Returns the pieces of the actions that build a tree. Those that read a word give its tag, unless it is `XX`."""
    linear = linearize(tree)
    words = (piece_of(WORD) if tag == WORD else tag_piece(tag) for tag in linear.tags)
    return [next(words) if action == WORD else piece_of(action) for action in linear.actions]


def tagged_like(gold: Tree, output: str) -> Tree | None:
    """Returns the tree `output` with the tags that the words have in `gold`, or None if there is no output.

    If the words of the two trees differ, the tags are those of the output.
    """
    if not output:
        return None
    tree = parse_tree(output)
    found, wanted = linearize(tree), linearize(gold)
    return tree_of(found.words, found.actions, wanted.tags) if found.words == wanted.words else tree
