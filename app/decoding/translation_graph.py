"""Text to text as one TensorFlow graph: tokenise, split, encode, search, detokenise, join.

`nmt translate` runs this graph, and an export holds it. It knows nothing of files, lines or batches.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from app.decoding.alignment import Alignments, align_words
from app.decoding.beam_search import Hypotheses, beam_search, length_penalties
from app.decoding.growing_cache import Cache, GrowingCache
from app.decoding.long_input import cut_tables, join_pieces, split_long
from app.decoding.options import DecodingOptions
from app.decoding.scoring import token_log_probabilities
from pipelines.any_vocabulary import AnyVocabulary
from pipelines.vocabulary import BOS, EOS, PAD

Signatures = Mapping[str, Callable[..., Mapping[str, tf.Tensor]]]

# The names of the signatures.
TRANSLATE, N_BEST, PREFIX, SCORE, ALIGN, TOKENIZE, DETOKENIZE = (
    "serving_default",
    "translate_nbest",
    "translate_prefix",
    "score",
    "align",
    "tokenize",
    "detokenize",
)
BEAM_TOKENS_AT_ONCE = 65_536  # of the source, padded, each beam's; bounds the memory: a base model's beams take 2 GB


class Search(NamedTuple):
    """What each run of a graph may be told anew; `DecodingOptions` says more."""

    beam_size: tf.Tensor  # int32 []
    length_penalty: tf.Tensor  # float32 []
    max_extra_tokens: tf.Tensor  # int32 []

    @classmethod
    def of(cls, options: DecodingOptions) -> "Search":
        """The options as tensors."""
        return cls(
            tf.constant(options.beam_size, tf.int32),
            tf.constant(options.length_penalty, tf.float32),
            tf.constant(options.max_extra_tokens, tf.int32),
        )


class TranslatedTexts(NamedTuple):
    """The H best translations of each of N texts, best first.

    Where there is no H-th translation its text is empty and its score -inf.
    """

    translations: tf.Tensor  # string [N, H]
    scores: tf.Tensor  # float32 [N, H]


class ScoredTexts(NamedTuple):
    """What the model gives to N translations of up to T tokens."""

    scores: tf.Tensor  # float32 [N], log-probability / length penalty
    log_probabilities: tf.Tensor  # float32 [N], the sums of those of the tokens
    token_log_probabilities: tf.Tensor  # float32 [N, T]
    pieces: tf.Tensor  # string [N, T]: the tokens, the last one "</s>"; after them ""


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
        self.cut_tables = cut_tables(vocabulary.pieces())

    def signatures(self) -> Signatures:
        """The graph as functions, each traced once for every number of texts; for a translator or a SavedModel.

        `serving_default` takes `texts` (string [N]) and gives the best `translations` (string [N]) and their `scores`
        (float32 [N]); `translate_nbest`, which searches longer, gives as many as the beam holds ([N, K], best first),
        and so does `translate_prefix`, which takes `prefixes` (string [N]) too, with which they begin. All three may
        be told another `beam_size`, `length_penalty` and `max_extra_tokens` (scalars) than the graph's.

        `score` takes `texts`, `targets` (string [N]) and perhaps another `length_penalty` and gives the fields of
        `ScoredTexts`; `align` takes `texts` and `targets` and gives those of `Alignments`. `tokenize` takes `texts` and
        gives `pieces` (string [N, L]), `ids` (int32 [N, L]) and `lengths` (int32 [N]); `detokenize` takes `ids` and
        gives `texts`.
        """
        texts = tf.TensorSpec([None], tf.string, name="texts")
        default = Search.of(self.options)
        search = [tf.TensorSpec([], value.dtype, name=name) for name, value in default._asdict().items()]

        @tf.function(input_signature=[texts, texts, *search, tf.TensorSpec([], tf.int32)])
        def run(texts: tf.Tensor, prefixes: tf.Tensor, *search_and_hypotheses: tf.Tensor) -> TranslatedTexts:
            *search, hypotheses = search_and_hypotheses
            return self.translate(texts, Search(*search), hypotheses=hypotheses, prefixes=prefixes)

        @tf.function(input_signature=[texts, *search])
        def translate(
            texts: tf.Tensor,
            beam_size: tf.Tensor = default.beam_size,
            length_penalty: tf.Tensor = default.length_penalty,
            max_extra_tokens: tf.Tensor = default.max_extra_tokens,
        ) -> dict[str, tf.Tensor]:
            none = tf.fill(tf.shape(texts), "")
            found = run(texts, none, beam_size, length_penalty, max_extra_tokens, tf.constant(1))
            return {name: values[:, 0] for name, values in found._asdict().items()}

        @tf.function(input_signature=[texts, *search])
        def translate_nbest(
            texts: tf.Tensor,
            beam_size: tf.Tensor = default.beam_size,
            length_penalty: tf.Tensor = default.length_penalty,
            max_extra_tokens: tf.Tensor = default.max_extra_tokens,
        ) -> dict[str, tf.Tensor]:
            none = tf.fill(tf.shape(texts), "")
            return run(texts, none, beam_size, length_penalty, max_extra_tokens, beam_size)._asdict()

        @tf.function(input_signature=[texts, tf.TensorSpec([None], tf.string, name="prefixes"), *search])
        def translate_prefix(
            texts: tf.Tensor,
            prefixes: tf.Tensor,
            beam_size: tf.Tensor = default.beam_size,
            length_penalty: tf.Tensor = default.length_penalty,
            max_extra_tokens: tf.Tensor = default.max_extra_tokens,
        ) -> dict[str, tf.Tensor]:
            return run(texts, prefixes, beam_size, length_penalty, max_extra_tokens, beam_size)._asdict()

        @tf.function(input_signature=[texts, tf.TensorSpec([None], tf.string, name="targets"), search[1]])
        def score(
            texts: tf.Tensor, targets: tf.Tensor, length_penalty: tf.Tensor = default.length_penalty
        ) -> dict[str, tf.Tensor]:
            return self.score(texts, targets, length_penalty)._asdict()

        @tf.function(input_signature=[texts, tf.TensorSpec([None], tf.string, name="targets")])
        def align(texts: tf.Tensor, targets: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.align(texts, targets)._asdict()

        @tf.function(input_signature=[texts])
        def tokenize(texts: tf.Tensor) -> dict[str, tf.Tensor]:
            tokens = self.vocabulary.encode(texts)
            ids = tokens.to_tensor(PAD)
            return {"ids": ids, "pieces": self.vocabulary.spell(ids), "lengths": _row_lengths(tokens)}

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, name="ids")])
        def detokenize(ids: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"texts": self.vocabulary.decode(ids)}

        return {
            TRANSLATE: translate,
            N_BEST: translate_nbest,
            PREFIX: translate_prefix,
            SCORE: score,
            ALIGN: align,
            TOKENIZE: tokenize,
            DETOKENIZE: detokenize,
        }

    def translate(
        self,
        texts: tf.Tensor,
        search: Search | None = None,
        *,
        hypotheses: int | tf.Tensor = 1,
        prefixes: tf.Tensor | None = None,
    ) -> TranslatedTexts:
        """Translates `texts` (string [N]; N may be 0) into the `hypotheses` best translations of each.

        A text without a token, such as the empty one, becomes an empty text with score 0. A text too long for the
        model is translated in pieces: its j-th translation joins the pieces' j-th translations, and the score is the
        sum of theirs. The search is that of the options where none is given. With `prefixes` (string [N]) each text's
        translations begin with its prefix, but for a text without a token.
        """
        search = search or Search.of(self.options)
        count = tf.size(texts)
        prefixes = tf.fill([count], "") if prefixes is None else prefixes
        filler = tf.fill([tf.cast(count == 0, tf.int32)], "")  # a model need not take a batch of no rows
        texts, prefixes = (tf.concat([strings, filler], axis=0) for strings in (texts, prefixes))
        tokens = self.vocabulary.encode(texts)
        pieces, owner = split_long(tokens, self.options.max_source_tokens, self.cut_tables)
        is_first = tf.concat([[True], owner[1:] != owner[:-1]], axis=0)  # the prefix is that of a text's first piece
        prefixes = self.vocabulary.encode_target(tf.where(is_first, tf.gather(prefixes, owner), ""))
        found = self.translate_pieces(pieces, prefixes, search, hypotheses)
        rows = tf.size(texts)
        owners = owner + rows * tf.range(hypotheses)[:, tf.newaxis]  # [H, M]: the j-th translations of all texts
        joined = join_pieces(
            tf.reshape(tf.transpose(found.translations), [-1]), tf.reshape(owners, [-1]), rows * hypotheses
        )
        scores = tf.math.segment_sum(found.scores, owner)  # [M, H] -> [N, H]
        return TranslatedTexts(tf.transpose(tf.reshape(joined, [hypotheses, rows]))[:count], scores[:count])

    def score(
        self, texts: tf.Tensor, targets: tf.Tensor, length_penalty: float | tf.Tensor | None = None
    ) -> ScoredTexts:
        """Scores `targets` (string [N]) as translations of `texts` (string [N]; N may be 0).

        A text is scored whole, also where `translate` would split it. A text without a token and a translation without
        one have score 0, as `translate` has it. The length penalty is that of the options where none is given.
        """
        sources, labels = self.vocabulary.encode(texts), self.vocabulary.encode_target(targets)
        is_empty = (_row_lengths(sources) == 0) & (_row_lengths(labels) == 0)
        labels = tf.where(is_empty[:, tf.newaxis], PAD, _ended(labels))
        by_token = self.token_log_probabilities(sources, labels)
        log_probabilities = tf.reduce_sum(by_token, axis=1)
        lengths = tf.math.count_nonzero(labels != PAD, axis=1, dtype=tf.int32)
        alpha = self.options.length_penalty if length_penalty is None else length_penalty
        scores = log_probabilities / length_penalties(lengths, alpha)
        return ScoredTexts(scores, log_probabilities, by_token, self.vocabulary.spell(labels))

    def align(self, texts: tf.Tensor, targets: tf.Tensor) -> Alignments:
        """Aligns the words of `targets` (string [N]) with those of `texts` (string [N]), which they translate."""
        source, labels = _ended(self.vocabulary.encode(texts)), _ended(self.vocabulary.encode_target(targets))
        target = tf.pad(labels[:, :-1], [[0, 0], [1, 0]], constant_values=BOS)
        weights = tf.reduce_mean(self.transformer.cross_weights({"source": source, "target": target}), axis=1)
        return align_words(weights, self.words(source), self.words(labels))

    def words(self, ids: tf.Tensor) -> tf.Tensor:
        """The word that each token belongs to, int32 in the shape of `ids` [N, L], from 0 on; -1 for PAD and EOS."""
        word = tf.cumsum(tf.cast(tf.gather(self.cut_tables.starts_word, ids), tf.int32), axis=1)
        return tf.where((ids == PAD) | (ids == EOS), -1, tf.maximum(word, 1) - 1)

    def translate_pieces(
        self, pieces: tf.RaggedTensor, prefixes: tf.RaggedTensor, search: Search, hypotheses: int | tf.Tensor
    ) -> TranslatedTexts:
        """Translates the pieces, int32 [M, (L)] with M > 0, a bounded number of tokens at once."""
        rows = pieces.nrows(out_type=tf.int32)
        beam_tokens = tf.maximum(4, search.beam_size) * (1 + tf.reduce_max(_row_lengths(pieces)))
        rows_at_once = tf.maximum(1, BEAM_TOKENS_AT_ONCE // beam_tokens)

        def translate_some(first: tf.Tensor, done: TranslatedTexts) -> tuple[tf.Tensor, TranslatedTexts]:
            at_once = slice(first, first + rows_at_once)
            some = self.translate_batch(pieces[at_once], prefixes[at_once], search, hypotheses)
            both = [tf.concat(parts, axis=0) for parts in zip(done, some, strict=True)]
            return first + rows_at_once, TranslatedTexts(*both)

        none = TranslatedTexts(tf.fill([0, hypotheses], ""), tf.fill([0, hypotheses], 0.0))
        shape = tf.TensorShape([None, None])
        _, found = tf.while_loop(
            lambda first, _: first < rows,
            translate_some,
            (tf.constant(0), none),
            shape_invariants=(tf.TensorShape([]), TranslatedTexts(shape, shape)),
        )
        return found

    def translate_batch(
        self, pieces: tf.RaggedTensor, prefixes: tf.RaggedTensor, search: Search, hypotheses: int | tf.Tensor
    ) -> TranslatedTexts:
        """Translates the pieces, int32 [B, (L)] with B > 0, all at once."""
        found = self.search(pieces, hypotheses, search, prefixes)
        shape = [pieces.nrows(out_type=tf.int32), hypotheses]
        tokens = tf.reshape(found.tokens, [shape[0] * hypotheses, -1])  # [B, H, T] -> [B * H, T]
        texts = tf.reshape(self.vocabulary.decode(tokens), shape)
        texts = tf.strings.regex_replace(texts, r"[\r\n]+", " ")  # spelt in bytes; but a text stays one line
        has_no_token = (_row_lengths(pieces) == 0)[:, tf.newaxis] & (found.lengths > 0)
        return TranslatedTexts(texts, tf.where(has_no_token, 0.0, found.scores))

    def token_log_probabilities(self, sources: tf.RaggedTensor, labels: tf.Tensor) -> tf.Tensor:
        """Of the labels, int32 [N, T], as translations of `sources`, int32 [N, (L)]: float32 [N, T], 0 at PAD."""
        return token_log_probabilities(self.transformer, _ended(sources), labels, vocabulary_size=self.vocabulary.size)

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
        rows, lengths = pieces.nrows(out_type=tf.int32), _row_lengths(pieces)
        expected = lengths if prefixes is None else tf.maximum(lengths, _row_lengths(prefixes))
        memory, may_attend = self.transformer.encode(_ended(pieces))
        cross = self.transformer.cross_cache(memory)
        growing = GrowingCache(self.transformer, rows * search.beam_size)

        def step(tokens: tf.Tensor, position: tf.Tensor, cache: Cache) -> tuple[tf.Tensor, Cache]:
            cache = growing.with_room(cache, position)
            logits, cache = self.transformer.decode_step(tokens[:, tf.newaxis], position, cache, cross, may_attend)
            return logits[:, 0], cache

        return beam_search(
            step,
            growing.room(),
            length_limits=tf.where(lengths == 0, 1, expected + 1 + search.max_extra_tokens),
            beam_size=search.beam_size,
            length_penalty=search.length_penalty,
            hypotheses=hypotheses,
            prefixes=None if prefixes is None else prefixes.to_tensor(PAD),
        )


def _ended(rows: tf.RaggedTensor) -> tf.Tensor:
    """Rows of ids, int32 [B, (L)], each with EOS at its end, filled up with PAD: int32 [B, L + 1]."""
    return tf.concat([rows, tf.fill([rows.nrows(), 1], EOS)], axis=1).to_tensor(PAD)


def _row_lengths(rows: tf.RaggedTensor) -> tf.Tensor:
    return tf.cast(rows.row_lengths(), tf.int32)
