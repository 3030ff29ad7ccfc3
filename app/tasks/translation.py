"""Translation: text of one language into another (Vaswani et al. 2017, section 6.1), scored by BLEU, chrF and TER."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_nmt.app.errors import UserError
from keras_nmt.app.tasks.task import Piece, Task
from keras_nmt.app.tasks.wording import CardWording, Measure, PageWording, joined
from keras_nmt.pipelines.preparation.recipes import TRANSLATION, Recipe
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.tags import Languages

if TYPE_CHECKING:
    from keras_nmt.app.decoding.network.protocol import Network
    from keras_nmt.app.decoding.options import DecodingOptions
    from keras_nmt.app.decoding.translation_graph import TranslationGraph
    from keras_nmt.app.evaluation import CorpusScores
    from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary


class Translation(Task):
    """The task of translation; see `Task`."""

    name, verb, output = TRANSLATION, "translate", "translation"
    roles: LanguagePair | None = None
    metric, metric_label = "bleu", "BLEU"
    in_ctranslate2 = True
    piece: Piece = "sentence"
    recipe = Recipe()
    card = CardWording(
        pipeline_tag="translation",
        tags=("translation",),
        introduction="",
        input="source",
        outputs="translations",
        examples="sentences",
        vocabulary="shared by the languages",
        room="tokens more than the source",
        usage="",
        measures=(
            Measure("BLEU", "bleu", "dev_bleu", "bleu"),
            Measure("chrF", "chrf", "", "chrf"),
            Measure("TER", "ter", "", "ter"),
        ),
        dev_measure="sacreBLEU",
        evaluated_by="",
        limits=(
            "Each text is translated separately, without the context of its document.",
            "A text is split into sentences, and a sentence of more than {max_source_tokens} tokens into parts, which "
            "are translated separately.",
            "Subjects, registers and spellings that are rare in its training data are translated worse.",
            "A translation can be fluent and wrong. Only the scores above were measured, not bias, safety or quality "
            "on other text.",
        ),
    )
    page = PageWording(
        heading="Translate",
        input="Text to translate",
        placeholder="Type or paste text here, or drop a file",
        busy="Translating …",
        hint="Shaded words are less certain. Choose a word to see how the sentence could continue from there.",
    )

    def title(self, languages: Languages) -> str:
        """Returns "Translation from en to de", or "Translation between de, en and fr" for some of all directions."""
        sources = list(dict.fromkeys(pair.source for pair in languages.pairs))
        if len(languages.pairs) == len(sources) * len(languages.targets):
            return f"Translation from {joined(sources, 'and')} to {joined(languages.targets, 'and')}"
        every = dict.fromkeys(language for pair in languages.pairs for language in (pair.source, pair.target))
        return f"Translation between {joined(every, 'and')}"

    def engine(
        self, transformer: "Network", vocabulary: "AnyVocabulary", options: "DecodingOptions"
    ) -> "TranslationGraph":
        """Returns the engine that cuts texts into sentences, translates them and joins the translations."""
        from keras_nmt.app.decoding.translation_graph import TranslationGraph

        return TranslationGraph(transformer, vocabulary, options)

    def check_scoring(self, languages: Sequence[str], tokenizer: str | None = None) -> None:
        """Raises `UserError` if BLEU for one of the languages needs a package that is not installed."""
        from keras_nmt.app.evaluation import bleu_metric

        for language in languages:
            bleu_metric(language, tokenizer)

    def dev_scores(
        self, sources: Sequence[str], outputs: Sequence[str], references: Sequence[str], languages: Languages
    ) -> dict[str, float]:
        """Returns the BLEU of all translations. With several target languages, also returns the BLEU of each language.

        The key is "dev_bleu" for all translations, and for example "dev_bleu_fr" for a language.
        """
        pairs = list(zip(outputs, references, strict=True))
        targets = languages.targets
        if len(targets) == 1:
            return {"dev_bleu": _bleu(pairs, targets[0])}
        found = {"dev_bleu": _bleu(pairs, "")}
        tags = [languages.split(source)[0][:1] for source in sources]
        for target in targets:
            rows = [pair for pair, tag in zip(pairs, tags, strict=True) if tag == languages.tags_of(target)]
            found |= {f"dev_bleu_{target}": _bleu(rows, target)} if rows else {}
        return found

    def score(
        self,
        outputs: Sequence[str],
        references: Sequence[Sequence[str]],
        *,
        language: str = "",
        tokenizer: str | None = None,
    ) -> "CorpusScores":
        """Returns BLEU, chrF and TER by sacreBLEU."""
        from keras_nmt.app.evaluation import score

        return score(outputs, *references, target_language=language, tokenizer=tokenizer)


def _bleu(pairs: Sequence[tuple[str, str]], target_language: str) -> float:
    """Returns the BLEU of pairs of a translation and its reference, in percent, rounded to two decimals."""
    from keras_nmt.app.evaluation import score

    if not pairs:
        raise UserError("nothing to score: expected at least one translation, got none")
    outputs, references = zip(*pairs, strict=True)
    return round(score(outputs, references, target_language=target_language).bleu, 2)
