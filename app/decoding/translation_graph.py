"""Translation of text as one TensorFlow graph: cuts into sentences, tokenises, encodes, searches, detokenises, joins.

`nmt translate` runs this graph, and an export contains it. The graph reads no files; `translator` reads lines and forms
batches of them.
"""

import tensorflow as tf

from keras_nmt.app.decoding.forced.alignment import Alignments, align_pieces, word_numbers
from keras_nmt.app.decoding.forced.explanation import Explanation, explanation
from keras_nmt.app.decoding.forced.scoring import token_log_probabilities
from keras_nmt.app.decoding.glossary import term_phrases, word_continuations
from keras_nmt.app.decoding.inside.sentence import SentenceInspector
from keras_nmt.app.decoding.inside.signatures import ENCODER_DECODER_SIGNATURES
from keras_nmt.app.decoding.network.protocol import Network
from keras_nmt.app.decoding.network.record import Recorder
from keras_nmt.app.decoding.network.traced import SOURCE_MULTIPLE, TracedNetwork, traced
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.search.beam_search import BeamSearch, SearchRunner, beam_search
from keras_nmt.app.decoding.search.beam_settings import BeamSettings
from keras_nmt.app.decoding.search.constrained_search import constrained_search, enlarged_beam
from keras_nmt.app.decoding.search.hypotheses import Hypotheses
from keras_nmt.app.decoding.search.recording import recorded
from keras_nmt.app.decoding.search.sampling import SAMPLING_TYPES, Sampling, sample
from keras_nmt.app.decoding.signatures import Signatures, made_signatures, transformer_signatures
from keras_nmt.app.decoding.text.cutting import at_least_one, ends_prefix, first_piece
from keras_nmt.app.decoding.text.texts import Pieces, ScoredTexts, Search, TranslatedTexts, row_lengths, with_end
from keras_nmt.app.decoding.text_pipeline import TextPipeline
from keras_nmt.layers import Transformer
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD

SEED_STRIDE = 2**16  # distance between the second seeds of successive samples of a piece; a text has fewer pieces


class TranslationGraph(tf.Module):
    """A `TransformerEngine`: translates text with a transformer and its vocabulary.

    Args:
        transformer: A `layers.transformer.Transformer` or an ensemble.
        vocabulary: The vocabulary that the transformer was trained with.
        options: The settings of the search. A call can override all but `max_source_tokens`.
        text: The text processing; None for that of translation.
    """

    def __init__(
        self,
        transformer: Network,
        vocabulary: AnyVocabulary,
        options: DecodingOptions,
        text: TextPipeline | None = None,
    ) -> None:
        super().__init__(name="translation")
        self.transformer = transformer
        self.vocabulary = vocabulary
        self.options = options
        self.text = text or TextPipeline(vocabulary, options)
        self.network = TracedNetwork(transformer)
        self.recorder = Recorder(transformer.record, inputs=2)
        self.continues_word = word_continuations(vocabulary.pieces())
        ids, whole = tf.RaggedTensorSpec([None, None], tf.int32), tf.TensorSpec([], tf.int32)
        settings = [tf.TensorSpec([], value.dtype) for value in Search.of(options)]
        self.traced_search = traced(
            lambda pieces, prefixes, hypotheses, *search: self.search(pieces, hypotheses, Search(*search), prefixes),
            *(ids, ids, whole, *settings),
        )
        self.recorded_search = traced(lambda text, *own: recorded(self.search, text, 1, Search(*own)), ids, *settings)
        seeds, sampling = tf.TensorSpec([None, 2], tf.int32), [tf.TensorSpec([], dtype) for dtype in SAMPLING_TYPES]
        self.drawn = traced(self._draw, ids, seeds, *sampling, *settings)
        self.inspector = SentenceInspector(self, transformer) if isinstance(transformer, Transformer) else None

    def signatures(self) -> Signatures:
        """Returns the signatures of the graph; see `transformer_signatures` and `inside.signatures`."""
        return {**transformer_signatures(self), **self.inside_signatures()}

    def inside_signatures(self) -> Signatures:
        """Returns the signatures that show what the model computes; none for an ensemble."""
        return made_signatures(self.inspector, ENCODER_DECODER_SIGNATURES) if self.inspector else {}

    def translate(
        self,
        texts: tf.Tensor,
        search: Search | None = None,
        *,
        hypotheses: int | tf.Tensor = 1,
        retry: bool | tf.Tensor = False,
    ) -> TranslatedTexts:
        """Translates `texts` (string [N]); see `TranslationEngine.translate`."""
        pieces = self.text.cut(texts)
        splits = tf.zeros([1 + tf.size(pieces.owner)], tf.int64)
        no_prefixes = tf.RaggedTensor.from_row_splits(tf.zeros([0], tf.int32), splits, validate=False)
        search = search or Search.of(self.options)
        return self._translate(texts, pieces, no_prefixes, search, hypotheses=hypotheses, retry=retry)

    def translate_with_prefixes(
        self, texts: tf.Tensor, prefixes: tf.Tensor, search: Search, *, hypotheses: int | tf.Tensor
    ) -> TranslatedTexts:
        """Returns, for each of `texts` (string [N]), the `hypotheses` best translations that begin with its prefix.

        `prefixes` (string [N]) has one prefix for each text. The prefix is divided among the sentences of the text (see
        `Cutter.prefixes`). Sentences that are copied or blank ignore their part of the prefix.
        """
        pieces = self.text.cut(texts)
        of_pieces = self.text.prefixes(pieces, prefixes)
        return self._translate(texts, pieces, of_pieces, search, hypotheses=hypotheses)

    def _translate(
        self,
        texts: tf.Tensor,
        pieces: Pieces,
        prefixes: tf.RaggedTensor,
        search: Search,
        *,
        hypotheses: int | tf.Tensor,
        retry: bool | tf.Tensor = False,
    ) -> TranslatedTexts:
        def find(tokens: tf.RaggedTensor, numbers: tf.Tensor) -> Hypotheses:
            found: Hypotheses = self.traced_search(tokens, tf.gather(prefixes, numbers), hypotheses, *search)
            return found

        return self.text.translate(pieces, texts, find, hypotheses=hypotheses, beams=search.beam_size, retry=retry)

    def sample(
        self, texts: tf.Tensor, seeds: tf.Tensor, sampling: Sampling, search: Search, *, count: int | tf.Tensor
    ) -> TranslatedTexts:
        """Draws `count` random translations of each of `texts` (string [N]), not sorted by score.

        `seeds` (int32 [N]) has one seed for each text. The translations of a text depend on its seed, but not on the
        other texts. The beam size of `search` has no effect.
        """
        pieces = self.text.cut(texts)
        of_pieces = tf.gather(tf.pad(seeds, [[0, 1]]), pieces.owner)

        def find(tokens: tf.RaggedTensor, numbers: tf.Tensor) -> Hypotheses:
            sample_of = tf.tile(tf.range(count), [tf.size(numbers)])
            numbers = tf.repeat(numbers, count)
            own = tf.stack([tf.gather(of_pieces, numbers), tf.gather(pieces.place, numbers)], axis=1)
            own = own + tf.stack([tf.zeros_like(sample_of), sample_of * SEED_STRIDE], axis=1)
            tokens = tf.gather(tokens, tf.repeat(tf.range(tokens.nrows(out_type=tf.int32)), count))
            return self.drawn(tokens, own, *sampling, *search).side_by_side(count)

        return self.text.translate(pieces, texts, find, hypotheses=count, beams=count)

    def _draw(self, tokens: tf.RaggedTensor, seeds: tf.Tensor, *settings: tf.Tensor) -> Hypotheses:
        """Draws a hypothesis for each piece, int32 [B, (L)], with its seed, int32 [B, 2]; see `Sampling`, `Search`."""
        sampling, search = Sampling(*settings[: len(Sampling._fields)]), Search(*settings[len(Sampling._fields) :])
        step, state = self.network.begin(tokens, 1)
        return sample(
            step,
            state,
            length_limits=search.length_limits(row_lengths(tokens)),
            seeds=seeds,
            sampling=sampling,
            length_penalty=search.length_penalty,
            repetition=search.repetition,
            min_tokens=search.min_tokens,
        )

    def alternatives(
        self, texts: tf.Tensor, prefixes: tf.Tensor, search: Search, *, count: int | tf.Tensor
    ) -> TranslatedTexts:
        """Returns, for each text, `count` translations that begin with its prefix and differ in the next token.

        The i-th translation is the best one in which the i-th most probable next token follows the prefix. `texts` and
        `prefixes` are string [N], with one prefix for each text.
        """
        pieces = self.text.cut(texts)
        begun = self.text.prefixes(pieces, prefixes)
        in_last = ends_prefix(pieces, begun)

        def find(tokens: tf.RaggedTensor, numbers: tf.Tensor) -> Hypotheses:
            own = tf.gather(begun, numbers)
            following = tf.math.top_k(self.next_logits(tokens, own), count).indices  # [B, count]
            tokens, own = (tf.gather(rows, tf.repeat(tf.range(tf.size(numbers)), count)) for rows in (tokens, own))
            differs = tf.repeat(tf.gather(in_last, numbers), count)
            following = tf.ragged.boolean_mask(tf.reshape(following, [-1, 1]), differs[:, tf.newaxis])
            found = self.traced_search(tokens, tf.concat([own, following], axis=1), 1, *search)
            return Hypotheses(*(values[:, :1] for values in found)).side_by_side(count)

        return self.text.translate(pieces, texts, find, hypotheses=count, beams=count * search.beam_size)

    def with_glossary(
        self, texts: tf.Tensor, source_terms: tf.Tensor, target_terms: tf.Tensor, search: Search
    ) -> TranslatedTexts:
        """Returns, for each of `texts` (string [N]), the best translation that uses the terms of a glossary.

        If `terms_in` finds the g-th source term (string [G]) in a sentence, the translation of the sentence contains
        the g-th target term (string [G]) verbatim. The target term is not followed by more letters of the same word.
        """
        pieces = self.text.cut(texts)
        terms = term_phrases(self.vocabulary, self.text.tables.tags, pieces, source_terms, target_terms)

        def find(tokens: tf.RaggedTensor, numbers: tf.Tensor) -> Hypotheses:
            phrases = terms.of(numbers)
            beam_size = enlarged_beam(phrases.tokens, search.beam_size)
            step, state = self.network.begin(tokens, beam_size)
            extra = tf.math.count_nonzero(phrases.tokens != PAD, axis=[1, 2], dtype=tf.int32)
            return constrained_search(
                step,
                state,
                phrases=phrases,
                continues_word=self.continues_word,
                length_limits=tf.maximum(search.length_limits(row_lengths(tokens) + extra), 1 + extra),
                settings=BeamSettings(
                    beam_size, search.length_penalty, tf.constant(1), search.repetition, search.min_tokens
                ),
            )

        largest = enlarged_beam(terms.tokens.to_tensor(PAD), search.beam_size)
        return self.text.translate(pieces, texts, find, hypotheses=1, beams=largest)

    def score(
        self, texts: tf.Tensor, targets: tf.Tensor, length_penalty: float | tf.Tensor | None = None
    ) -> ScoredTexts:
        """Scores `targets` (string [N]) as translations of `texts` (string [N]); see `TranslationEngine.score`."""
        alpha = self.options.length_penalty if length_penalty is None else length_penalty
        return self.text.score(texts, targets, self.token_log_probabilities, alpha)

    def align(self, texts: tf.Tensor, targets: tf.Tensor) -> Alignments:
        """Aligns the words of translations `targets` (string [N]) with the words of their sources `texts` (string [N]).

        A tag before a text counts as a source word, but no target word is aligned with the tag. `given_pieces` cuts
        texts and translations into pairs of pieces, and words are aligned only within a pair.
        """
        pieces = self.text.pair(texts, targets)
        tags = row_lengths(tf.strings.split(self.text.cutter.without_tags(at_least_one(texts))[0]))
        sides = with_end(pieces.tokens, multiple=SOURCE_MULTIPLE), with_end(pieces.labels)
        own, its = (word_numbers(ids, self.text.tables) for ids in sides)

        def weights_of(first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
            target = tf.pad(sides[1][first:last, :-1], [[0, 0], [1, 0]], constant_values=BOS)
            encoded = self.network.encode(pieces.tokens[first:last])
            return tf.reduce_mean(self.transformer.cross_weights(target, **encoded), axis=1)

        found = align_pieces(pieces, own, its, tags, weights_of)
        return Alignments(*(values[: tf.size(texts)] for values in found))

    def explain(self, text: tf.Tensor) -> Explanation:
        """Translates one sentence of `text` (string []), and records the search and the attention; see `first_piece`.

        If the sentence is too long for the model, only its first part is translated.
        """
        piece = first_piece(self.text.cut(text[tf.newaxis]))
        found = self.recorded_search(piece, *Search.of(self.options))
        return explanation(self.transformer, self.vocabulary, self.recorder, piece, found)

    def next_logits(self, tokens: tf.RaggedTensor, prefixes: tf.RaggedTensor) -> tf.Tensor:
        """Computes the logits of the next token after each prefix: float32 [B, V], -inf for PAD, BOS and EOS.

        Args:
            tokens: int32 [B, (L)], the source tokens.
            prefixes: int32 [B, (P)], the tokens that each translation begins with.
        """
        target = tf.pad(prefixes.to_tensor(PAD), [[0, 0], [1, 0]], constant_values=BOS)
        logits = self.network.logits(tokens, target)
        last = tf.gather(tf.cast(logits, tf.float32), row_lengths(prefixes), batch_dims=1)
        never = tf.reduce_any(tf.range(self.vocabulary.size)[:, tf.newaxis] == (PAD, BOS, EOS), axis=1)
        return tf.where(never, float("-inf"), last)

    def token_log_probabilities(self, sources: tf.RaggedTensor, labels: tf.Tensor) -> tf.Tensor:
        """Computes the log-probability of each token of given translations: float32 [N, T], 0 at PAD.

        Args:
            sources: int32 [N, (L)], the source tokens.
            labels: int32 [N, T], the tokens of the translations, EOS included, then PAD.
        """
        return token_log_probabilities(self.network.logits, sources, labels, vocabulary_size=self.vocabulary.size)

    def search(
        self,
        pieces: tf.RaggedTensor,
        hypotheses: int | tf.Tensor,
        search: Search | None = None,
        prefixes: tf.RaggedTensor | None = None,
        *,
        run: SearchRunner = BeamSearch.run,
    ) -> Hypotheses:
        """Searches for the best hypotheses of each piece of text, a row of token ids in `pieces`, int32 [B, (L)].

        Each hypothesis of a piece begins with the prefix of the piece, a row of token ids in `prefixes`, int32 [B,
        (P)]. A prefix may have more tokens than the piece. The only hypothesis of a piece without tokens is EOS.
        """
        search = search or Search.of(self.options)
        lengths = row_lengths(pieces)
        given = tf.zeros_like(lengths) if prefixes is None else row_lengths(prefixes)
        limits = tf.maximum(search.length_limits(tf.maximum(lengths, given)), 1 + given)  # no limit cuts a prefix
        step, state = self.network.begin(pieces, search.beam_size)
        return beam_search(
            step,
            state,
            length_limits=tf.where(lengths == 0, 1, limits),
            beam_size=search.beam_size,
            length_penalty=search.length_penalty,
            hypotheses=hypotheses,
            prefixes=None if prefixes is None else prefixes.to_tensor(PAD),
            repetition=search.repetition,
            min_tokens=search.min_tokens,
            run=run,
        )
