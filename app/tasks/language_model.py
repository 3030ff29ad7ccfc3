"""Language models: text that goes on from a prompt (Radford et al. 2019), measured by perplexity."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from keras_nmt.app.errors import UserError
from keras_nmt.app.tasks.samples import blocks
from keras_nmt.app.tasks.task import Piece, Route, Task
from keras_nmt.app.tasks.wording import CardWording, Measure, PageWording
from keras_nmt.pipelines.preparation.running_text import RunningText
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.sources.monolingual.running_text import CONTINUED
from keras_nmt.pipelines.vocabulary.tags import Languages

if TYPE_CHECKING:
    from keras_nmt.app.decoding.generation.graph import GenerationGraph
    from keras_nmt.app.decoding.network.block import CausalNetwork
    from keras_nmt.app.decoding.network.protocol import Network
    from keras_nmt.app.decoding.options import DecodingOptions
    from keras_nmt.app.decoding.translation_graph import TranslationGraph
    from keras_nmt.app.scoring.perplexity import Perplexity
    from keras_nmt.app.tasks.task import OutputScores
    from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary


class LanguageModelling(Task):
    """The task of language modelling; see `Task`. Generated text has no references, so the dev loss is the measure."""

    name, verb, output = "language-model", "generate", "text"
    roles: LanguagePair | None = LanguagePair("prompt", "text")
    metric, metric_label = None, "perplexity"
    measures_text = True
    in_ctranslate2 = False
    recipe = RunningText()
    route: Route = "generate"
    piece: Piece = "text"
    card = CardWording(
        pipeline_tag="text-generation",
        tags=("language-model",),
        introduction="It is a language model: it continues a text, the prompt, one token after another. Each token is "
        "drawn at random from the tokens that may come next, the likely ones more often. It was not trained to follow "
        "instructions or to answer questions.",
        input="prompt",
        outputs="texts",
        examples="prompts",
        vocabulary="of running text",
        room="tokens",
        usage="",
        measures=(
            Measure("perplexity", "perplexity", "dev_perplexity", "perplexity"),
            Measure("perplexity a word", "word_perplexity", "", "perplexity"),
            Measure("bits a character", "bits_per_character", "dev_bits_per_character", "perplexity"),
        ),
        dev_measure="perplexity",
        evaluated_by="",
        limits=(
            "It sees at most the last {max_source_tokens} tokens of a text, and nothing of what came before them.",
            "A generated text can be fluent and wrong. It may state what is false, and repeat parts of the training "
            "data word for word.",
            "It writes like its training data, with their subjects, opinions and prejudices. Only the figures above "
            "were measured, not truth, bias or safety.",
            "Perplexities can be compared only between models with the same tokens; bits a character "
            "between all that can spell any text.",
        ),
        template="language_model_card.md.jinja",
    )
    page = PageWording(
        heading="Generate",
        input="Prompt",
        placeholder="Type how the text begins",
        busy="Writing …",
        hint="Point at a part of the text, or choose it with the arrow keys, to see what the model might have written "
        "there.",
        display="generation",
    )

    def title(self, languages: Languages) -> str:
        """Returns "Language model"."""
        return "Language model"

    def model_settings(self, pieces: Sequence[str], given: Mapping[str, object]) -> dict[str, Any]:
        """Returns that the model has no encoder."""
        return {"encoder_layers": 0}

    def engine(
        self, transformer: "Network", vocabulary: "AnyVocabulary", options: "DecodingOptions"
    ) -> "GenerationGraph":
        """Returns the engine that goes on from each prompt.

        It attends to as many tokens as the model was trained with: BOS and `max_source_tokens`.
        """
        from keras_nmt.app.decoding.generation.graph import GenerationGraph

        return GenerationGraph(cast("CausalNetwork", transformer), vocabulary, options, options.max_source_tokens + 1)

    def ensemble(self, members: Sequence["Network"]) -> "Network":
        """Returns the ensemble of several language models with the same vocabulary."""
        from keras_nmt.app.decoding.network.language_model_ensemble import LanguageModelEnsemble

        models = [cast("CausalNetwork", member) for member in members]
        return cast("Network", LanguageModelEnsemble(models))

    def runner(self, engine: "TranslationGraph | GenerationGraph") -> Callable[[list[str]], list[str]]:
        """Returns a function that draws one continuation of each prompt, always with the same random numbers."""
        import tensorflow as tf

        from keras_nmt.app.decoding.signatures import DEFAULT

        generate = engine.signatures()[DEFAULT]
        return lambda prompts: [text.decode() for text in generate(prompts=tf.constant(prompts))["texts"].numpy()]

    def samples(self, sources: Sequence[str], outputs: Sequence[str], references: Sequence[str]) -> str:
        """Returns each prompt, and below it the prompt and the continuation as they are."""
        return blocks((f"prompt {prompt!r}", prompt + text) for prompt, text in zip(sources, outputs, strict=True))

    def dev_scores(
        self, sources: Sequence[str], outputs: Sequence[str], references: Sequence[str], languages: Languages
    ) -> dict[str, float]:
        """Returns no scores: the perplexity of the dev set comes from its loss."""
        return {}

    def measure(self, engine: "GenerationGraph", sources: Sequence[str], texts: Sequence[str]) -> "Perplexity":
        """Returns the perplexity of documents.

        A text with the source `CONTINUED` is a section of a document that goes on in the next text.
        """
        from keras_nmt.app.decoding.generation.measuring import log_probability
        from keras_nmt.app.scoring.perplexity import Perplexity

        if not any(texts):
            raise UserError("nothing to measure: the text is empty")
        documents = [""]
        for source, text in zip(sources, texts, strict=True):
            documents[-1] += text
            documents += [""] * (source != CONTINUED.decode())
        documents = documents[: -1 if not documents[-1] else None]
        found, tokens = log_probability(engine, documents)
        words = sum(len(text.split()) for text in documents)
        characters = 0 if engine.vocabulary.is_of_words else sum(map(len, documents))  # <unk> spells no characters
        return Perplexity.of(found, tokens=tokens, words=words, characters=characters)

    def score(
        self,
        outputs: Sequence[str],
        references: Sequence[Sequence[str]],
        *,
        language: str = "",
        tokenizer: str | None = None,
    ) -> "OutputScores":
        """Raises `UserError`: generated text has no references."""
        raise UserError("generated text has no references to score it by; give the text itself: --test-set text:FILE")
