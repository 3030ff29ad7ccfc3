"""The interface of an engine that translates texts in a TensorFlow graph, as the signatures need it."""

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
        """Translates `texts` (string [N]; N may be 0) into the `hypotheses` best translations of each.

        A text is translated in pieces: its sentences, and the parts of sentences that are too long for the model. The
        j-th translation of a text joins the j-th translations of its pieces, and its score is the sum of their scores.
        Text that is copied instead of translated adds nothing to the score. The translation of a text without tokens,
        such as an empty text, is empty and has score 0.

        Args:
            texts: The texts to translate.
            search: The settings of the search; None for those of `options`.
            hypotheses: The number of translations of each text, at most the beam size.
            retry: True if the second translation of a piece replaces the first one when it has fewer warnings.
        """

    def score(
        self, texts: tf.Tensor, targets: tf.Tensor, length_penalty: float | tf.Tensor | None = None
    ) -> ScoredTexts:
        """Scores `targets` (string [N]) as translations of `texts` (string [N]; N may be 0).

        Args:
            texts: The source texts.
            targets: The translations of the source texts.
            length_penalty: The exponent of the length penalty; None for that of `options`.
        """


class TransformerEngine(TranslationEngine, Protocol):
    """A `TranslationEngine` in TensorFlow, which can also force parts of translations and show attention."""

    def translate_with_prefixes(
        self, texts: tf.Tensor, prefixes: tf.Tensor, search: Search, *, hypotheses: int | tf.Tensor
    ) -> TranslatedTexts:
        """Translates `texts` (string [N]); each translation begins with its prefix (string [N]).

        A prefix is divided among the sentences of its text. The translation of a text without tokens has no prefix.
        """

    def alternatives(
        self, texts: tf.Tensor, prefixes: tf.Tensor, search: Search, *, count: int | tf.Tensor
    ) -> TranslatedTexts:
        """Returns `count` translations of each text (string [N]) that begin with its prefix and differ right after it.

        The prefix is continued with each of the `count` most probable next tokens, the most probable first. Each
        alternative is the best translation that begins with the prefix and this token.
        """

    def sample(
        self, texts: tf.Tensor, seeds: tf.Tensor, sampling: Sampling, search: Search, *, count: int | tf.Tensor
    ) -> TranslatedTexts:
        """Draws `count` random translations of each of `texts` (string [N]). They are not sorted.

        The translations of a text depend on its seed (int32 [N]) and not on the other texts. The beam size of `search`
        has no effect.
        """

    def with_glossary(
        self, texts: tf.Tensor, source_terms: tf.Tensor, target_terms: tf.Tensor, search: Search
    ) -> TranslatedTexts:
        """Returns the best translations of `texts` (string [N]) that use the terms of a glossary.

        If `terms_in` finds the g-th source term (string [G]) in a sentence, the translation of the sentence contains
        the g-th target term verbatim. The target term is not followed by more letters of the same word.
        """

    def align(self, texts: tf.Tensor, targets: tf.Tensor) -> Alignments:
        """Aligns the words of translations `targets` (string [N]) with the words of their sources `texts` (string [N]).

        A tag before a text counts as a word, but no word is aligned with it. Each piece is aligned separately.
        """

    def explain(self, text: tf.Tensor) -> "Explanation":
        """Records how a text (string []) is translated: only its first sentence that is not copied."""
