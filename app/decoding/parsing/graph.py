"""Parsing as one TensorFlow graph: that of translation, with a search that finds only well-formed trees."""

import tensorflow as tf

from keras_nmt.app.decoding.network.protocol import Network
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.parsing.text import TreePipeline
from keras_nmt.app.decoding.search.beam_search import BeamSearch, SearchRunner
from keras_nmt.app.decoding.search.hypotheses import Hypotheses
from keras_nmt.app.decoding.search.tree_search import TreeSymbols, tree_search
from keras_nmt.app.decoding.signatures import Signatures, parser_signatures
from keras_nmt.app.decoding.text.texts import Search
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.pipelines.trees.pieces import closing_piece, is_opening, is_word, larger_piece
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import UNK


class ParsingGraph(TranslationGraph):
    """An engine that parses: a `TranslationGraph` whose output are trees over the words of the input."""

    def __init__(self, transformer: Network, vocabulary: AnyVocabulary, options: DecodingOptions) -> None:
        self.symbols = tree_symbols(vocabulary)
        super().__init__(transformer, vocabulary, options, TreePipeline(vocabulary, options))

    def signatures(self) -> Signatures:
        """Returns the signatures of a parser; see `parser_signatures` and `inside.signatures`."""
        return {**parser_signatures(self), **self.inside_signatures()}

    def search(
        self,
        pieces: tf.RaggedTensor,
        hypotheses: int | tf.Tensor,
        search: Search | None = None,
        prefixes: tf.RaggedTensor | None = None,
        *,
        run: SearchRunner = BeamSearch.run,
    ) -> Hypotheses:
        """Searches for the best trees of pieces, given as token ids, int32 [B, (L)]. Ignores `prefixes`."""
        search = search or Search.of(self.options)
        words = tf.reduce_sum(tf.cast(pieces == self.symbols.words[0], tf.int32), axis=1)
        step, state = self.network.begin(pieces, search.beam_size)
        return tree_search(
            step,
            state,
            words=words,
            symbols=self.symbols,
            length_limits=search.length_limits(words),
            beam_size=search.beam_size,
            length_penalty=search.length_penalty,
            hypotheses=hypotheses,
            run=run,
        )

    def token_log_probabilities(self, sources: tf.RaggedTensor, labels: tf.Tensor) -> tf.Tensor:
        """Computes the log-probability of each action of given trees, float32 [N, T]; -inf for an unknown action."""
        return tf.where(labels == UNK, float("-inf"), super().token_log_probabilities(sources, labels))


def tree_symbols(vocabulary: AnyVocabulary) -> TreeSymbols:
    """Returns the ids of the actions in a vocabulary."""
    pieces = vocabulary.pieces()
    opens = [piece for piece in pieces if is_opening(piece)]
    return TreeSymbols(
        [number for number, piece in enumerate(pieces) if is_word(piece)],
        [*map(pieces.index, opens)],
        [pieces.index(closing_piece(piece)) for piece in opens],
        [pieces.index(closing_piece(larger)) if (larger := larger_piece(piece)) in pieces else 0 for piece in opens],
    )
