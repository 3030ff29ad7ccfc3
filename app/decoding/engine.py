"""Interfaces of translation engines: the methods that the functions in `signatures` call."""

from typing import TYPE_CHECKING, Protocol

import tensorflow as tf

from keras_nmt.app.decoding.forced.alignment import Alignments
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.search.sampling import Sampling
from keras_nmt.app.decoding.text.texts import ScoredTexts, Search, TranslatedTexts
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary

if TYPE_CHECKING:  # the server, which imports this, loads no layers
    from keras_nmt.app.decoding.forced.explanation import Explanation


class TranslationEngine(Protocol):
    """An engine that translates texts and scores translations."""

    @property
    def vocabulary(self) -> AnyVocabulary:
        """The vocabulary of the engine's model."""

    @property
    def options(self) -> DecodingOptions:
        """The default settings of the search. A call can override all but `max_source_tokens`."""

    def translate(
        self,
        texts: tf.Tensor,
        search: Search | None = None,
        *,
        hypotheses: int | tf.Tensor = 1,
        retry: bool | tf.Tensor = False,
    ) -> TranslatedTexts:
        """Translates each of `texts` (string [N]; N may be 0) into its `hypotheses` best translations.

        A text is translated in pieces: its sentences, and the parts of sentences that are too long for the model. The
        j-th translation of a text joins the j-th translations of its pieces, and its score is the sum of their scores.
        Text that is copied instead of translated, such as links (see `split_copied`), adds nothing to the score. The
        translation of a blank text is empty and has score 0.

        Args:
            texts: The texts to translate.
            search: The settings of the search; None for the settings in `options`.
            hypotheses: The number of translations of each text, at most the beam size.
            retry: True to replace the best translation of a piece by the second-best one if the second-best one has
                fewer warnings (see `find_warnings`).
        """

    def score(
        self, texts: tf.Tensor, targets: tf.Tensor, length_penalty: float | tf.Tensor | None = None
    ) -> ScoredTexts:
        """Scores `targets` (string [N]) as translations of `texts` (string [N]; N may be 0).

        Args:
            texts: The source texts.
            targets: The translations of the source texts.
            length_penalty: The exponent of the length penalty; None for the exponent in `options`.
        """


class TransformerEngine(TranslationEngine, Protocol):
    """A `TranslationEngine` that can also force parts of translations, sample translations and show attention."""

    def translate_with_prefixes(
        self, texts: tf.Tensor, prefixes: tf.Tensor, search: Search, *, hypotheses: int | tf.Tensor
    ) -> TranslatedTexts:
        """Returns, for each of `texts` (string [N]), the `hypotheses` best translations that begin with its prefix.

        `prefixes` (string [N]) has one prefix for each text. The prefix is divided among the sentences of the text (see
        `Cutter.prefixes`). Sentences that are copied or blank ignore their part of the prefix.
        """

    def alternatives(
        self, texts: tf.Tensor, prefixes: tf.Tensor, search: Search, *, count: int | tf.Tensor
    ) -> TranslatedTexts:
        """Returns, for each text, `count` translations that begin with its prefix and differ in the next token.

        The i-th translation is the best one in which the i-th most probable next token follows the prefix. `texts` and
        `prefixes` are string [N], with one prefix for each text.
        """

    def sample(
        self, texts: tf.Tensor, seeds: tf.Tensor, sampling: Sampling, search: Search, *, count: int | tf.Tensor
    ) -> TranslatedTexts:
        """Draws `count` random translations of each of `texts` (string [N]), not sorted by score.

        `seeds` (int32 [N]) has one seed for each text. The translations of a text depend on its seed, but not on the
        other texts. The beam size of `search` has no effect.
        """

    def with_glossary(
        self, texts: tf.Tensor, source_terms: tf.Tensor, target_terms: tf.Tensor, search: Search
    ) -> TranslatedTexts:
        """Returns, for each of `texts` (string [N]), the best translation that uses the terms of a glossary.

        If `terms_in` finds the g-th source term (string [G]) in a sentence, the translation of the sentence contains
        the g-th target term (string [G]) verbatim. The target term is not followed by more letters of the same word.
        """

    def align(self, texts: tf.Tensor, targets: tf.Tensor) -> Alignments:
        """Aligns the words of translations `targets` (string [N]) with the words of their sources `texts` (string [N]).

        A tag before a text counts as a source word, but no target word is aligned with the tag. `given_pieces` cuts
        texts and translations into pairs of pieces, and words are aligned only within a pair.
        """

    def explain(self, text: tf.Tensor) -> "Explanation":
        """Translates one sentence of `text` (string []), and records the search and the attention.

        The sentence is the first one that has something to translate; earlier sentences that are only copied, such as
        links, are skipped. If the sentence is too long for the model, only its first part is translated.
        """
