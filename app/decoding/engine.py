"""What the signatures need of an engine that translates texts in a TensorFlow graph."""

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
        """The vocabulary of its model."""

    @property
    def options(self) -> DecodingOptions:
        """Its settings, which a call can override, apart from the longest source."""

    def translate(
        self,
        texts: tf.Tensor,
        search: Search | None = None,
        *,
        hypotheses: int | tf.Tensor = 1,
        retry: bool | tf.Tensor = False,
    ) -> TranslatedTexts:
        """Translates `texts` (string [N]; N may be 0) into the `hypotheses` best translations of each.

        A text is translated in pieces: its sentences, and the parts of sentences that are too long for the model. Its
        j-th translation joins the pieces' j-th translations, and its score is the sum of theirs. Copied text
        adds no score. A text without a token, such as the empty one, becomes an empty text with score 0.

        Args:
            texts: What to translate.
            search: Settings of the search; those of the options if left out.
            hypotheses: At most the beam size.
            retry: Whether a piece's second translation takes the place of its first if it has fewer warnings.
        """

    def score(
        self, texts: tf.Tensor, targets: tf.Tensor, length_penalty: float | tf.Tensor | None = None
    ) -> ScoredTexts:
        """Scores `targets` (string [N]) as translations of `texts` (string [N]; N may be 0).

        Args:
            texts: The sources.
            targets: Their translations.
            length_penalty: The exponent; that of the options if left out.
        """


class TransformerEngine(TranslationEngine, Protocol):
    """An engine whose search and network can be steered and inspected, as those in TensorFlow."""

    def translate_with_prefixes(
        self, texts: tf.Tensor, prefixes: tf.Tensor, search: Search, *, hypotheses: int | tf.Tensor
    ) -> TranslatedTexts:
        """Translates `texts` (string [N]); each translation begins with its prefix (string [N]).

        Prefixes are matched sentence by sentence. The translation of a text without a token has no prefix.
        """

    def alternatives(
        self, texts: tf.Tensor, prefixes: tf.Tensor, search: Search, *, count: int | tf.Tensor
    ) -> TranslatedTexts:
        """Translates `texts` (string [N]) so that translations begin with `prefixes` and then differ in `count` ways.

        The likeliest tokens after the prefix follow it, the likeliest first; each alternative is the best translation
        with this beginning.
        """

    def sample(
        self, texts: tf.Tensor, seeds: tf.Tensor, sampling: Sampling, search: Search, *, count: int | tf.Tensor
    ) -> TranslatedTexts:
        """Draws `count` translations of each of `texts` (string [N]), in no order.

        The result of a text depends on its seed (int32 [N]) and not on the other texts. The beam size has no effect.
        """

    def with_glossary(
        self, texts: tf.Tensor, source_terms: tf.Tensor, target_terms: tf.Tensor, search: Search
    ) -> TranslatedTexts:
        """Returns the best translations of `texts` (string [N]) that use the terms of a glossary.

        Where a sentence contains the g-th source term (string [G]), as found by `terms_in`, its translation contains
        the g-th target term verbatim, ending where a word ends.
        """

    def align(self, texts: tf.Tensor, targets: tf.Tensor) -> Alignments:
        """Aligns the words of `targets` (string [N]) with those of `texts` (string [N]), their sources.

        A tag before a text counts as a word, but is aligned with none. The pieces are aligned one by one.
        """

    def explain(self, text: tf.Tensor) -> "Explanation":
        """Shows how a text, string [], is translated; of several sentences, the first one that is not copied."""
