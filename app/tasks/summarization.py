"""Summarization: a text into a short text of the same language, scored by ROUGE."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_nmt.app.tasks.task import Piece, Task
from keras_nmt.app.tasks.wording import CardWording, Measure, PageWording
from keras_nmt.pipelines.preparation.recipes import Recipe
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.tags import Languages

if TYPE_CHECKING:
    from keras_nmt.app.decoding.network.protocol import Network
    from keras_nmt.app.decoding.options import DecodingOptions
    from keras_nmt.app.decoding.translation_graph import TranslationGraph
    from keras_nmt.app.scoring.rouge import RougeScores
    from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary


class Summarization(Task):
    """The task of summarization; see `Task`."""

    name, verb, output = "summarization", "summarize", "summary"
    roles: LanguagePair | None = LanguagePair("text", "summary")
    metric, metric_label = "rougeL", "ROUGE-L"
    in_ctranslate2 = False
    recipe = Recipe(
        "summarization",
        # A summary is shorter than its text and omits most of its numbers and links.
        unused_filters=("too_long", "length_ratio", "few_letters", "numbers", "links", "language"),
        cuts_sources=True,
    )
    piece: Piece = "text"
    card = CardWording(
        pipeline_tag="summarization",
        tags=("summarization",),
        introduction="It writes a short text that says the main things of a longer one, in its own words.",
        input="text",
        outputs="summaries",
        examples="texts",
        vocabulary="shared by texts and summaries",
        room="tokens more than the text",
        usage="A text is summarized as a whole. It may have several paragraphs.",
        measures=tuple(
            Measure(f"ROUGE-{name}", f"rouge{name}", f"dev_rouge{name}", "rouge") for name in ("1", "2", "L")
        ),
        dev_measure="ROUGE (F-measure)",
        evaluated_by=" as ROUGE (Lin 2004), the F-measures in percent",
        limits=(
            "A text of more than {max_source_tokens} tokens is cut at the end of a sentence. The rest is not read, and "
            'the output has the warning "cut".',
            "A summary can be fluent and wrong: it may state what the text does not say, above all names and numbers.",
            "ROUGE counts common words with a reference. It does not measure if a summary is true.",
            "Subjects and kinds of text that are rare in its training data are summarized worse. Only the scores above "
            "were measured, not bias, safety or quality on other text.",
        ),
    )
    page = PageWording(
        heading="Summarize",
        input="Text to summarize",
        placeholder="Type or paste a text here",
        busy="Summarizing …",
        hint="Shaded words are less certain. The end of a text that is too long is not read; a message says so.",
    )

    def title(self, languages: Languages) -> str:
        """Returns "Summarization"."""
        return "Summarization"

    def engine(
        self, transformer: "Network", vocabulary: "AnyVocabulary", options: "DecodingOptions"
    ) -> "TranslationGraph":
        """Returns the engine that summarizes each text as a whole."""
        from keras_nmt.app.decoding.translation_graph import TranslationGraph
        from keras_nmt.app.decoding.whole_texts import WholeTextPipeline

        return TranslationGraph(transformer, vocabulary, options, WholeTextPipeline(vocabulary, options))

    def dev_scores(
        self, sources: Sequence[str], outputs: Sequence[str], references: Sequence[str], languages: Languages
    ) -> dict[str, float]:
        """Returns ROUGE-1, ROUGE-2 and ROUGE-L as "dev_rouge1", "dev_rouge2" and "dev_rougeL", in percent."""
        found = self.score(outputs, [references])
        measures = {"rouge1": found.rouge1, "rouge2": found.rouge2, "rougeL": found.rougeL}
        return {f"dev_{name}": round(value, 2) for name, value in measures.items()}

    def score(
        self,
        outputs: Sequence[str],
        references: Sequence[Sequence[str]],
        *,
        language: str = "",
        tokenizer: str | None = None,
    ) -> "RougeScores":
        """Returns ROUGE-1, ROUGE-2 and ROUGE-L."""
        from keras_nmt.app.scoring.rouge import score

        return score(outputs, *references)
