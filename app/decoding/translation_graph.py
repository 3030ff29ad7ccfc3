"""Text to text as one TensorFlow graph: cut into sentences, tokenise, encode, search, detokenise, join.

`nmt translate` runs this graph, and an export holds it. It knows nothing of files, lines or batches.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from app.decoding.forced.alignment import Alignments, align_pieces, word_numbers
from app.decoding.forced.explanation import Explanation, RecordedSearch, newest_tokens
from app.decoding.forced.given_pieces import given_pieces
from app.decoding.forced.scoring import Scores, joined_scores, token_log_probabilities
from app.decoding.glossary import may_go_on, terms_in, word_goes_on
from app.decoding.options import DecodingOptions
from app.decoding.search.beam_cache import BeamCache, decode_step, empty_cache
from app.decoding.search.beam_search import OF_HYPOTHESES, Hypotheses, SearchState, Step, beam_search
from app.decoding.search.constrained_search import Phrases, beam_for, constrained_search
from app.decoding.search.sampling import Sampling, sample
from app.decoding.signatures import Signatures, signatures_of
from app.decoding.text.cutting import Cutter, at_least_one
from app.decoding.text.joining import join_translations
from app.decoding.text.leading_tags import without_tags
from app.decoding.text.output_checks import WARNINGS, find_warnings
from app.decoding.text.texts import (
    OF_FOUND_PIECES,
    OF_PIECES,
    FoundPieces,
    Pieces,
    ScoredTexts,
    Search,
    TranslatedTexts,
    row_lengths,
)
from pipelines.vocabulary.loading import AnyVocabulary
from pipelines.vocabulary.tokenizer import BOS, EOS, PAD

SAMPLES_APART = 2**16  # between the second seeds of the samples of a piece; a text has fewer pieces
SOURCE_MULTIPLE = 8  # tokens of a source, padded: fewer shapes, for each of which kernels are made and kept
BEAM_TOKENS_AT_ONCE = 65_536  # of the source, padded, each beam's; bounds the memory: a base model's beams take 2 GB


# Some of the pieces, int32 [B, (L)], and their numbers among all, int32 [B] -> at least as many hypotheses as wanted.
Finder = Callable[[tf.RaggedTensor, tf.Tensor], Hypotheses]


class TranslationGraph(tf.Module):
    """A transformer and a vocabulary that translate text.

    Args:
        transformer: a `layers.transformer.Transformer`, or what has its decoding methods.
        vocabulary: the one it was trained with.
        options: of the search, which all but the longest source may be told anew.
    """

    def __init__(self, transformer: Any, vocabulary: AnyVocabulary, options: DecodingOptions) -> None:
        super().__init__(name="translation")
        self.transformer = transformer
        self.vocabulary = vocabulary
        self.options = options
        self.cutter = Cutter(vocabulary, options.max_source_tokens)
        self.cut_tables = self.cutter.tables
        self.goes_on = word_goes_on(vocabulary.pieces())
        ids, text = tf.RaggedTensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.string)
        whole = tf.TensorSpec([], tf.int32)
        settings = [tf.TensorSpec([], value.dtype) for value in Search.of(options)]
        # Traced once, whichever signatures use them; a SavedModel takes as long to load as it has ops.
        self.traced_cut = traced(self.cutter.cut, text)
        self.traced_prefixes = traced(self.cutter.prefixes, OF_PIECES, text)
        self.traced_given = traced(partial(given_pieces, self.cutter), text, text)
        self.traced_encoded = traced(self.encoded, ids)
        self.traced_decoded = tf.function(partial(decode, transformer), autograph=False, reduce_retracing=True)
        self.traced_step = tf.function(partial(decode_step, transformer), autograph=False, reduce_retracing=True)
        self.traced_search = traced(
            lambda pieces, prefixes, hypotheses, *search: self.search(pieces, hypotheses, Search(*search), prefixes),
            *(ids, ids, whole, *settings),
        )
        self.traced_in_text = traced(self.in_text, ids, OF_HYPOTHESES, whole, tf.TensorSpec([], tf.bool))
        self.traced_joined = traced(partial(join_translations, vocabulary), OF_FOUND_PIECES, OF_PIECES, whole)

    def signatures(self) -> Signatures:
        """The graph as functions, as `signatures_of` has them."""
        return signatures_of(self)

    def translate(
        self,
        texts: tf.Tensor,
        search: Search | None = None,
        *,
        hypotheses: int | tf.Tensor = 1,
        prefixes: tf.Tensor | None = None,
        retry: bool | tf.Tensor = False,
    ) -> TranslatedTexts:
        """Translates `texts` (string [N]; N may be 0) into the `hypotheses` best translations of each.

        A text is translated in pieces, which are its sentences and the parts of those that are too long for the model:
        its j-th translation joins the pieces' j-th translations, and the score is the sum of theirs. What `parted`
        keeps of a sentence stays as it is and adds no score; a text without a token, such as the empty one, becomes an
        empty text with score 0. The search is that of the options where none is given. With `prefixes` (string [N])
        each text's translations begin with its prefix, sentence by sentence, but for a text without a token. With
        `retry` the next best translation of a piece goes before the best if fewer warnings are found in it.
        """
        search = search or Search.of(self.options)
        pieces = self.traced_cut(texts)
        begun = self.traced_prefixes(pieces, tf.fill(tf.shape(texts), "") if prefixes is None else prefixes)

        def find(tokens: tf.RaggedTensor, numbers: tf.Tensor) -> Hypotheses:
            found: Hypotheses = self.traced_search(tokens, tf.gather(begun, numbers), hypotheses, *search)
            return found

        found = self.translate_pieces(pieces, find, hypotheses, beams=search.beam_size, retry=retry)
        return self.traced_joined(found, pieces, tf.size(texts))

    def sample(
        self, texts: tf.Tensor, seeds: tf.Tensor, sampling: Sampling, search: Search, *, count: int | tf.Tensor = 1
    ) -> TranslatedTexts:
        """Draws `count` translations of each of `texts` (string [N]); the best is not the first.

        What a text is given depends on its seed (int32 [N]) and no other text. Of the search the beam is no matter.
        """
        pieces = self.traced_cut(texts)
        of_pieces = tf.gather(tf.pad(seeds, [[0, 1]]), pieces.owner)

        def find(tokens: tf.RaggedTensor, numbers: tf.Tensor) -> Hypotheses:
            sample_of = tf.tile(tf.range(count), [tf.size(numbers)])
            numbers = tf.repeat(numbers, count)
            own = tf.stack([tf.gather(of_pieces, numbers), tf.gather(pieces.place, numbers)], axis=1)
            own = own + tf.stack([tf.zeros_like(sample_of), sample_of * SAMPLES_APART], axis=1)
            tokens = tf.gather(tokens, tf.repeat(tf.range(tokens.nrows(out_type=tf.int32)), count))
            step, state = self.decoding(tokens, 1)
            drawn = sample(
                step,
                state,
                length_limits=self.length_limits(row_lengths(tokens), search),
                seeds=own,
                sampling=sampling,
                length_penalty=search.length_penalty,
                repetition=search.repetition,
            )
            return _side_by_side(drawn, count)

        return self.traced_joined(self.translate_pieces(pieces, find, count, beams=count), pieces, tf.size(texts))

    def alternatives(
        self, texts: tf.Tensor, prefixes: tf.Tensor, search: Search | None = None, *, count: int | tf.Tensor
    ) -> TranslatedTexts:
        """Translations of `texts` (string [N]) that begin with `prefixes` and then go on in `count` different ways.

        The likeliest tokens after the prefix begin them, the likeliest first; each is the best translation with this
        beginning.
        """
        search = search or Search.of(self.options)
        pieces = self.traced_cut(texts)
        begun = self.traced_prefixes(pieces, prefixes)
        goes_on = _branching(pieces, begun)

        def find(tokens: tf.RaggedTensor, numbers: tf.Tensor) -> Hypotheses:
            own = tf.gather(begun, numbers)
            following = tf.math.top_k(self.next_logits(tokens, own), count).indices  # [B, count]
            tokens, own = (tf.gather(rows, tf.repeat(tf.range(tf.size(numbers)), count)) for rows in (tokens, own))
            differs = tf.repeat(tf.gather(goes_on, numbers), count)
            following = tf.ragged.boolean_mask(tf.reshape(following, [-1, 1]), differs[:, tf.newaxis])
            found = self.traced_search(tokens, tf.concat([own, following], axis=1), 1, *search)
            return _side_by_side(Hypotheses(*(values[:, :1] for values in found)), count)

        found = self.translate_pieces(pieces, find, count, beams=count * search.beam_size)
        return self.traced_joined(found, pieces, tf.size(texts))

    def with_glossary(
        self, texts: tf.Tensor, source_terms: tf.Tensor, target_terms: tf.Tensor, search: Search | None = None
    ) -> TranslatedTexts:
        """The best translations of `texts` (string [N]) with the terms of a glossary.

        Where the g-th source term (string [G]) stands in a sentence, as `terms_in` has it, the g-th target term stands
        in its translation, as it is, and no word goes on behind it.
        """
        search = search or Search.of(self.options)
        pieces = self.traced_cut(texts)
        said = without_tags(pieces.tokens, self.cut_tables.tags).to_tensor(PAD)
        matched = terms_in(self.vocabulary.decode(said), source_terms)  # [M, G]
        target_terms = tf.concat([target_terms, [""]], axis=0)  # the last one is nothing
        phrases = self.vocabulary.encode_target(target_terms).with_row_splits_dtype(tf.int64)
        numbers = tf.ragged.boolean_mask(tf.broadcast_to(tf.range(tf.size(source_terms)), tf.shape(matched)), matched)
        nothing = tf.fill([tf.size(pieces.owner), 1], tf.size(source_terms))
        terms = tf.concat([numbers, nothing], axis=1)
        of_pieces, open_terms = tf.gather(phrases, terms), tf.gather(may_go_on(target_terms), terms)

        def find(tokens: tf.RaggedTensor, numbers: tf.Tensor) -> Hypotheses:
            wanted = tf.gather(of_pieces, numbers).to_tensor(PAD)  # [M, (P), (L)] -> [B, P, L]
            wanted = tf.pad(wanted, [[0, 0], [0, 0], [0, 1]], constant_values=PAD)
            beam_size = beam_for(wanted, search.beam_size)
            step, state = self.decoding(tokens, beam_size)
            more = tf.math.count_nonzero(wanted != PAD, axis=[1, 2], dtype=tf.int32)
            return constrained_search(
                step,
                state,
                phrases=Phrases(wanted, tf.gather(open_terms, numbers).to_tensor(False)),
                goes_on=self.goes_on,
                beam_size=beam_size,
                length_limits=self.length_limits(row_lengths(tokens), search) + more,
                length_penalty=search.length_penalty,
                hypotheses=tf.constant(1),
                prefixes=tf.zeros([tf.size(numbers), 0], tf.int32),
                repetition=search.repetition,
            )

        most = beam_for(of_pieces.to_tensor(PAD), search.beam_size)
        return self.traced_joined(self.translate_pieces(pieces, find, 1, beams=most), pieces, tf.size(texts))

    def next_logits(self, tokens: tf.RaggedTensor, prefixes: tf.RaggedTensor) -> tf.Tensor:
        """Of what follows each prefix, int32 [B, (P)], but for its end: float32 [B, V]."""
        target = tf.pad(prefixes.to_tensor(PAD), [[0, 0], [1, 0]], constant_values=BOS)
        logits = self.logits(tokens, target)
        last = tf.gather(tf.cast(logits, tf.float32), row_lengths(prefixes), batch_dims=1)
        never = tf.reduce_any(tf.range(self.vocabulary.size)[:, tf.newaxis] == (PAD, BOS, EOS), axis=1)
        return tf.where(never, float("-inf"), last)

    def score(
        self, texts: tf.Tensor, targets: tf.Tensor, length_penalty: float | tf.Tensor | None = None
    ) -> ScoredTexts:
        """Scores `targets` (string [N]) as translations of `texts` (string [N]; N may be 0).

        A text is scored in the pieces in which `translate` would translate it, and what these keep adds nothing; so the
        score is the sum of theirs. A text without a token and a translation without one have score 0, as `translate`
        has it. The length penalty is that of the options where none is given.
        """
        pieces = self.traced_given(texts, targets)
        labels = _ended(pieces.labels)
        says_nothing = (row_lengths(pieces.tokens) == 0) & (row_lengths(pieces.labels) == 0)
        wanted = tf.where(says_nothing[:, tf.newaxis], PAD, labels)
        by_token = self.token_log_probabilities(pieces.tokens, wanted)
        alpha = self.options.length_penalty if length_penalty is None else length_penalty
        kept = self.vocabulary.encode_target(pieces.kept)
        shown = tf.where((row_lengths(kept) > 0)[:, tf.newaxis], labels, wanted)
        found = joined_scores(pieces, Scores(wanted, by_token), shown=shown, kept=kept, alpha=alpha)
        found = found._replace(pieces=self.vocabulary.spell(found.pieces))
        return ScoredTexts(*(values[: tf.size(texts)] for values in found))

    def align(self, texts: tf.Tensor, targets: tf.Tensor) -> Alignments:
        """Aligns the words of `targets` (string [N]) with those of `texts` (string [N]), which they translate.

        A tag before a text is a word to be counted, but no word comes from it. The pieces are aligned one by one.
        """
        pieces = self.traced_given(texts, targets)
        tags = row_lengths(tf.strings.split(self.cutter.without_tags(at_least_one(texts))[0]))
        sides = _ended(pieces.tokens, multiple=SOURCE_MULTIPLE), _ended(pieces.labels)
        own, its = (word_numbers(ids, self.cut_tables) for ids in sides)

        def weights_of(first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
            target = tf.pad(sides[1][first:last, :-1], [[0, 0], [1, 0]], constant_values=BOS)
            encoded = self.traced_encoded(pieces.tokens[first:last])
            return tf.reduce_mean(self.transformer.cross_weights(target, **encoded), axis=1)

        found = align_pieces(pieces, own, its, tags, weights_of)
        return Alignments(*(values[: tf.size(texts)] for values in found))

    def explain(self, text: tf.Tensor) -> Explanation:
        """Shows how a text, string [], is translated; of several sentences, the first one that is not copied."""
        pieces = self.traced_cut(text[tf.newaxis]).tokens
        first = tf.argmax(pieces.row_lengths() > 0)
        pieces = pieces[first : first + 1]
        search = Search.of(self.options)
        step, state = self.decoding(pieces, search.beam_size)
        recorded = RecordedSearch(
            step,
            self.length_limits(row_lengths(pieces), search),
            beam_size=search.beam_size,
            length_penalty=search.length_penalty,
            hypotheses=tf.constant(1),
            prefixes=tf.zeros([1, 0], tf.int32),
            repetition=search.repetition,
        )
        found, candidates = recorded.run_recorded(state)
        source, labels = _ended(pieces), found.tokens[:, 0, : found.lengths[0, 0]]
        target = tf.pad(labels[:, :-1], [[0, 0], [1, 0]], constant_values=BOS)
        maps = {name: weights[:, 0] for name, weights in self.transformer.attention_maps(source, target).items()}
        shape = tf.shape(candidates.log_probabilities)
        ids = tf.reshape(candidates.tokens[:, :, 1:], [shape[0] * shape[1], -1])
        return Explanation(
            source_pieces=self.vocabulary.spell(source)[0],
            target_pieces=self.vocabulary.spell(labels)[0],
            positional_encodings=self.transformer.positional_encodings(
                tf.maximum(tf.shape(source)[1], tf.shape(target)[1])
            ),
            encoder_attention=maps["encoder"],
            decoder_attention=maps["decoder"],
            cross_attention=maps["cross"],
            candidate_texts=tf.reshape(self.vocabulary.decode(ids), shape),
            candidate_pieces=self.vocabulary.spell(newest_tokens(candidates)),
            candidate_log_probabilities=candidates.log_probabilities,
        )

    def translate_pieces(
        self,
        pieces: Pieces,
        find: Finder,
        hypotheses: int | tf.Tensor,
        *,
        beams: tf.Tensor,
        retry: bool | tf.Tensor = False,
    ) -> FoundPieces:
        """Translates the pieces, a bounded number of tokens at once; `beams` is how many rows a piece becomes."""
        rows = pieces.tokens.nrows(out_type=tf.int32)
        beam_tokens = tf.maximum(4, beams) * (1 + tf.reduce_max(row_lengths(pieces.tokens)))
        rows_at_once = tf.maximum(1, BEAM_TOKENS_AT_ONCE // beam_tokens)

        def translate_some(first: tf.Tensor, done: FoundPieces) -> tuple[tf.Tensor, FoundPieces]:
            numbers = tf.range(first, tf.minimum(first + rows_at_once, rows))
            tokens = tf.gather(pieces.tokens, numbers)
            some = self.traced_in_text(tokens, find(tokens, numbers), hypotheses, retry)
            both = [tf.concat(parts, axis=0) for parts in zip(done, some, strict=True)]
            return first + rows_at_once, FoundPieces(*both)

        values = tf.fill([0, hypotheses], 0.0)
        none = FoundPieces(
            translations=tf.fill([0, hypotheses], ""),
            scores=values,
            log_probabilities=values,
            warnings=tf.fill([0, hypotheses, len(WARNINGS)], False),
            lengths=tf.fill([0, hypotheses], 0),
            tokens=tf.zeros([0], tf.int32),
            token_log_probabilities=tf.zeros([0]),
        )
        shapes = FoundPieces(*(spec.shape for spec in OF_FOUND_PIECES))
        _, found = tf.while_loop(
            lambda first, _: first < rows,
            translate_some,
            (tf.constant(0), none),
            shape_invariants=(tf.TensorShape([]), shapes),
        )
        return found

    def in_text(
        self, tokens: tf.RaggedTensor, found: Hypotheses, hypotheses: int | tf.Tensor, retry: bool | tf.Tensor
    ) -> FoundPieces:
        """The hypotheses for some pieces, int32 [B, (L)], in text and with warnings."""
        looked_at = tf.minimum(tf.maximum(hypotheses, 2), tf.shape(found.scores)[1])
        found = Hypotheses(*(values[:, :looked_at] for values in found))
        shape = tf.shape(found.scores)
        texts = self.vocabulary.decode(tf.reshape(found.tokens, [shape[0] * shape[1], -1]))  # [B, H, T] -> [B * H, T]
        texts = tf.strings.regex_replace(tf.reshape(texts, shape), r"[\r\n]+", " ")  # spelt in bytes; but it is a line
        source = without_tags(tokens, self.cut_tables.tags).to_tensor(PAD)
        warnings = find_warnings(self.vocabulary.decode(source), source, texts, found.tokens)
        exists = found.lengths > 0
        has_no_token = (row_lengths(tokens) == 0)[:, tf.newaxis] & exists
        scores, log_probabilities, by_token = (
            tf.where(tf.reshape(has_no_token, [shape[0], shape[1], *[1] * (len(values.shape) - 2)]), 0.0, values)
            for values in (found.scores, found.log_probabilities, found.token_log_probabilities)
        )
        order = _best_first(warnings & exists[:, :, tf.newaxis], exists, retry)[:, :hypotheses]
        texts, scores, log_probabilities, warnings, lengths, ids, by_token = (
            tf.gather(values, order, batch_dims=1)
            for values in (texts, scores, log_probabilities, warnings, found.lengths, found.tokens, by_token)
        )
        is_token = ids != PAD
        return FoundPieces(texts, scores, log_probabilities, warnings, lengths, ids[is_token], by_token[is_token])

    def token_log_probabilities(self, sources: tf.RaggedTensor, labels: tf.Tensor) -> tf.Tensor:
        """Of the labels, int32 [N, T], as translations of `sources`, int32 [N, (L)]: float32 [N, T], 0 at PAD."""
        return token_log_probabilities(self.logits, sources, labels, vocabulary_size=self.vocabulary.size)

    def logits(self, pieces: tf.RaggedTensor, target: tf.Tensor) -> tf.Tensor:
        """Of what follows each token of target, int32 [B, T], for the pieces, int32 [B, (L)]: [B, T, V]."""
        return self.traced_decoded(target, **self.traced_encoded(pieces))

    def search(
        self,
        pieces: tf.RaggedTensor,
        hypotheses: int | tf.Tensor,
        search: Search | None = None,
        prefixes: tf.RaggedTensor | None = None,
    ) -> Hypotheses:
        """The best hypotheses for the pieces, int32 [B, (L)]; of one without tokens there is only EOS.

        They begin with the prefixes, int32 [B, (P)], which may be as long as the translation of their piece or longer.
        """
        search = search or Search.of(self.options)
        lengths = row_lengths(pieces)
        expected = lengths if prefixes is None else tf.maximum(lengths, row_lengths(prefixes))
        step, state = self.decoding(pieces, search.beam_size)
        return beam_search(
            step,
            state,
            length_limits=tf.where(lengths == 0, 1, self.length_limits(expected, search)),
            beam_size=search.beam_size,
            length_penalty=search.length_penalty,
            hypotheses=hypotheses,
            prefixes=None if prefixes is None else prefixes.to_tensor(PAD),
            repetition=search.repetition,
        )

    def length_limits(self, expected: tf.Tensor, search: Search) -> tf.Tensor:
        """The most tokens of a translation, EOS included, of so many expected tokens; of none there is only EOS."""
        return tf.where(expected == 0, 1, expected + 1 + search.max_extra_tokens)

    def decoding(self, pieces: tf.RaggedTensor, beams: int | tf.Tensor) -> tuple[Step, SearchState]:
        """The step of a search with so many beams for each of the pieces, int32 [B, (L)], and its first state."""
        encoded = self.traced_encoded(pieces)
        cache = empty_cache(self.transformer, pieces.nrows(out_type=tf.int32), beams)

        def step(tokens: tf.Tensor, position: tf.Tensor, state: SearchState) -> tuple[tf.Tensor, SearchState]:
            written, encoded = state.sentences
            logits, cache = self.traced_step(tokens, position, BeamCache(state.beams, written), **encoded)
            return logits, SearchState(cache.slots, (cache.written, encoded))

        return step, SearchState(cache.slots, (cache.written, encoded))

    def encoded(self, pieces: tf.RaggedTensor) -> dict[str, Any]:
        """What a step wants to know of the pieces, int32 [B, (L)]."""
        memory, may_attend = self.transformer.encode(_ended(pieces, multiple=SOURCE_MULTIPLE))
        return {"cross": self.transformer.cross_cache(memory), "may_attend_source": may_attend}


def decode(transformer: Any, target: tf.Tensor, **encoded: Any) -> tf.Tensor:
    """As the transformer does, which another engine's graph does not have."""
    return transformer.decode(target, **encoded)


def traced(function: Callable[..., Any], *signature: Any) -> Any:
    """The function as a graph, traced once for arguments of this signature."""
    return tf.function(function, input_signature=signature, autograph=False)


def _best_first(warnings: tf.Tensor, exists: tf.Tensor, retry: bool | tf.Tensor) -> tf.Tensor:
    """The order of the hypotheses, int32 [B, H]: the second goes before the first if it has fewer warnings."""
    counts = tf.math.count_nonzero(warnings, axis=2, dtype=tf.int32)  # [B, H]
    second = tf.minimum(1, tf.shape(counts)[1] - 1)
    is_better = retry & exists[:, second] & (counts[:, second] < counts[:, 0])  # [B]
    order = tf.range(tf.shape(counts)[1])
    swapped = tf.where(order < 2, second - order, order)
    return tf.where(is_better[:, tf.newaxis], swapped, order)


def _branching(pieces: Pieces, begun: tf.RaggedTensor) -> tf.Tensor:
    """The piece of each text where its prefix ends: bool [M]. Without a prefix it is the first that is translated."""
    most = tf.size(pieces.owner)
    rank = tf.where(begun.row_lengths() > 0, most + pieces.place, most - 1 - pieces.place)
    rank = tf.where(pieces.tokens.row_lengths() > 0, rank, -1)
    return rank == tf.gather(tf.math.segment_max(rank, pieces.owner), pieces.owner)


def _side_by_side(found: Hypotheses, count: int | tf.Tensor) -> Hypotheses:
    """One hypothesis of each of B * H rows, [B * H, 1, …], as H of each of B: [B, H, …]."""
    return Hypotheses(*(tf.reshape(values, tf.concat([[-1, count], tf.shape(values)[2:]], axis=0)) for values in found))


def _ended(rows: tf.RaggedTensor, *, multiple: int = 1) -> tf.Tensor:
    """Rows of ids, int32 [B, (L)], each with EOS at its end, filled up with PAD: int32 [B, L + 1], or a bit wider."""
    ids = tf.concat([rows, tf.fill([rows.nrows(), 1], EOS)], axis=1).to_tensor(PAD)
    return tf.pad(ids, [[0, 0], [0, -tf.shape(ids)[1] % multiple]], constant_values=PAD) if multiple > 1 else ids
