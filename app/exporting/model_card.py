"""Writes the model card, README.md of an export: what the model is, its training data, scores and limits.

The format is that of the Hugging Face Hub: YAML between two lines of dashes, then Markdown. The card states only what
the run has recorded. `usage` writes the part that shows how to call the model.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tomli_w

from keras_nmt.app.exporting.golden_translations import GoldenTranslation
from keras_nmt.app.runs.checkpoints import IMPORTED
from keras_nmt.pipelines.vocabulary.tags import Languages, domain_tag, language_tag, tagged

LICENSE_UNKNOWN = "unknown"  # the identifier that the Hub uses
SHOWN = 5  # number of translations in the card
NOT_RECORDED = "Not recorded: an older version of this program, which did not record it, began the run."

Facts = Mapping[str, Any]


def model_card(facts: Facts, translations: Sequence[GoldenTranslation], usage: str) -> str:
    """Writes the card of one version of an export.

    Args:
        facts: The contents of assets.extra/nmt.json.
        translations: Example translations by the model.
        usage: The description of how to call the model, in Markdown.
    """
    languages = Languages.of(facts["run"])
    sections = {
        f"Translation {_directions(languages)}": _introduction(facts, languages),
        "How to use it": "\n\n".join([*([_tags(languages)] if languages.tags else []), usage]),
        "Translations": _translations(facts["run"], translations),
        "Training data": _training_data(facts["run"]),
        "Scores": _scores(facts),
        "Architecture and training": _training(facts),
        "Limits": _limits(facts),
        "Licence": _licence(facts),
    }
    (title, introduction), *rest = sections.items()
    body = "\n\n".join([f"# {title}\n\n{introduction}", *(f"## {heading}\n\n{text}" for heading, text in rest)])
    return f"{_front_matter(facts)}\n\n{body}\n"


def _front_matter(facts: Facts) -> str:
    """Writes the YAML. All strings are quoted, because the language code of Norwegian, `no`, is false in YAML."""
    has_dev_bleu = any("dev_bleu" in line for line in facts["dev_results"])
    engine = "ctranslate2" if facts.get("format") == "ctranslate2" else "tensorflow"
    lists = {
        "language": _all_languages(Languages.of(facts["run"])),
        "tags": ["translation", "transformer", engine],
        "metrics": ["bleu", "chrf", "ter"] if facts["evaluations"] else ["bleu"] if has_dev_bleu else [],
    }
    lines = [f"license: {json.dumps(facts['license'] or LICENSE_UNKNOWN)}", "pipeline_tag: translation"]
    for name, values in lists.items():
        lines += [f"{name}:", *(f"- {json.dumps(value)}" for value in values)] if values else []
    return "\n".join(["---", *lines, "---"])


def _all_languages(languages: Languages) -> list[str]:
    return list(dict.fromkeys(language for pair in languages.pairs for language in (pair.source, pair.target)))


def _directions(languages: Languages) -> str:
    """Describes the translation directions, such as "from en to de and fr"."""
    sources, targets = dict.fromkeys(pair.source for pair in languages.pairs), languages.targets
    if len(languages.pairs) == len(sources) * len(targets):
        return f"from {_joined(sources, 'and')} to {_joined(targets, 'and')}"
    return f"between {_joined(_all_languages(languages), 'and')}"


def _joined(names: Iterable[str], word: str) -> str:
    """Joins names with commas and `word`, such as "de, en and fr"."""
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last


def _tags(languages: Languages) -> str:
    """Describes the tags that a text begins with."""
    targets = languages.targets if len(languages.targets) > 1 else ()
    of_language, of_domain = (
        _joined((f"`{tag(name)}`" for name in names), "or") if names else ""
        for tag, names in ((language_tag, targets), (domain_tag, languages.domains))
    )
    example = tagged("…", languages.tags_of(languages.targets[-1], next(iter(languages.domains), None)))
    if of_language:
        after = f" The tag of its domain may follow: {of_domain}." if of_domain else ""
        what = f"Each text begins with the tag of the target language: {of_language}.{after}"
    else:
        what = f"A text may begin with the tag of its domain: {of_domain}."
    return (
        f"{what} For example: `{example}`. The model itself takes texts with their tags; the commands of nmt add them."
    )


def _introduction(facts: Facts, languages: Languages) -> str:
    only, shared = (", in this direction only", "both") if len(languages.pairs) == 1 else ("", "all")
    rows = {
        "languages": ", ".join(f"`{pair.source}` to `{pair.target}`" for pair in languages.pairs) + only,
        "parameters": f"{facts['parameters']:,}",
        "vocabulary": f"{facts['model']['vocabulary_size']:,} SentencePiece pieces, shared by {shared} languages",
        "weights": _weights(facts),
        "precision": _precision(facts),
        **({"on a CPU": _engine(facts["cpu_engine"])} if facts.get("cpu_engine", "none") != "none" else {}),
        "decoding": _decoding(facts["decoding"]),
    }
    made = "imported from another program's model" if IMPORTED in facts["run"] else "trained"
    return (
        f"A Transformer ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762)), {made} and exported with nmt "
        f"{facts['run']['versions']['nmt']}.\n\n{_table(('', ''), rows.items())}"
    )


def _weights(facts: Facts) -> str:
    own = _checkpoint(facts["checkpoint"])
    others = [f"those of step {other['step']:,} of the run `{other['run']}`" for other in facts["ensemble"]]
    return f"an ensemble of {len(others) + 1}: {own}; {'; '.join(others)}" if others else own


def _checkpoint(checkpoint: Facts) -> str:
    if IMPORTED in checkpoint:
        return f"those of `{checkpoint[IMPORTED]}`"
    if "averaged" in checkpoint:
        return f"the mean of those at the steps {', '.join(f'{step:,}' for step in checkpoint['averaged'])}"
    return f"those of step {checkpoint['step']:,}"


def _precision(facts: Facts) -> str:
    if facts.get("format") == "ctranslate2":
        if facts["quantization"] == "int8":
            return "int8 matrices, the rest float32; CTranslate2 converts them where a processor has no int8 products"
        return "float32, for any processor that CTranslate2 runs on"
    reason = f" ({facts['precision_reason']})" if facts["precision_reason"] else ""
    if facts["precision"] == "bfloat16":
        return (
            f"bfloat16{reason}, for CPUs with AMX or AVX-512 BF16 and for GPUs from NVIDIA's Ampere on; others are "
            "slower with it: for them, export with `--precision float32`"
        )
    return f"float32{reason}, for any processor"


def _engine(quantization: str) -> str:
    how = "int8 matrices, the rest float32" if quantization == "int8" else "float32"
    return f"nmt translates with CTranslate2 ({how}); the weights are in `assets.extra/ctranslate2`"


def _decoding(options: Facts) -> str:
    size = options["beam_size"]
    search = "greedy search" if size == 1 else f"beam search with {size} hypotheses"
    longest = f"up to {options['max_extra_tokens']} tokens more than the source"
    return f"{search}, length penalty {options['length_penalty']}, {longest}"


def _translations(run: Facts, translations: Sequence[GoldenTranslation]) -> str:
    of = "sentences of the dev set" if run.get("examples") else "words drawn at random, as the run holds no sentences"
    shown = [line for line in translations if line.text][:SHOWN]
    rows = [(_cell(line.text), _cell(line.translation), f"{line.score:.4f}") for line in shown]
    return f"The model's own, of {of}:\n\n{_table(('source', 'translation', 'score'), rows)}"


def _training_data(run: Facts) -> str:
    if "corpora" not in run:
        return NOT_RECORDED
    rows = [
        (
            name,
            "<br>".join(_origin(origin) for origin in split["origins"]),
            f"{split['pairs']:,}",
            f"{split['source_tokens']:,}",
            f"{split['target_tokens']:,}",
            "<br>".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in split["dropped"].items()) or "0",
        )
        for name, split in run["corpora"].items()
    ]
    return _table(("", "corpora", "pairs kept", "source tokens", "target tokens", "pairs dropped"), rows)


def _origin(origin: Facts) -> str:
    """Formats the name of a corpus with its licence and attribution, if known."""
    known = [str(origin[key]) for key in ("licence", "attribution") if key in origin]
    return f"`{origin['spec']}`" + (f" ({', '.join(known)})" if known else "")


def _scores(facts: Facts) -> str:
    parts = [part(facts) for part in (_test_scores, _dev_scores) if part(facts)]
    return "\n\n".join(parts) or "None was measured, neither by `nmt evaluate` nor on the dev set at this checkpoint."


def _test_scores(facts: Facts) -> str:
    """Shows the results of `nmt evaluate`, with the sacreBLEU signatures that make scores comparable (Post 2018)."""
    if not facts["evaluations"]:
        return ""
    rows = [
        (
            f"`{line['text']}`",
            f"{line['sentences']:,}",
            str(line["decoding"]["beam_size"]),
            *(f"{line[name]:.2f}" for name in ("bleu", "chrf", "ter")),
        )
        for line in facts["evaluations"]
    ]
    signatures = [f"- {name}: `{value}`" for name, value in facts["evaluations"][-1]["signatures"].items()]
    table = _table(("test set", "sentences", "beam", "BLEU", "chrF", "TER"), rows)
    return "\n".join(["Measured by `nmt evaluate` with the run in float32:", "", table, "", *signatures])


def _dev_scores(facts: Facts) -> str:
    if not facts["dev_results"]:
        return ""
    languages = Languages.of(facts["run"])
    of_each = languages.targets if len(languages.targets) > 1 else ()
    figures = {"BLEU": "bleu", **{f"BLEU {name}": f"bleu_{name}" for name in of_each}}
    figures |= {name: name for name in ("loss", "perplexity")}
    rows = [
        (f"{line['step']:,}", *(str(line.get(f"dev_{name}", "")) for name in figures.values()))
        for line in facts["dev_results"]
    ]
    sentences = facts["training"]["dev_sentences"]
    which = f"{sentences:,} sentences spread over it" if languages.tags else f"its first {sentences:,} sentences"
    bleu = f"sacreBLEU on {which} (or all, if there are fewer); " if sentences else ""
    average = "\n\nThe mean of these checkpoints, which is this model, was not scored on the dev set."
    return (
        f"On the dev set during training: {bleu}loss and perplexity a token on all sentences that are not "
        f"too long.\n\n{_table(('step', *figures), rows)}" + (average if "averaged" in facts["checkpoint"] else "")
    )


def _training(facts: Facts) -> str:
    model, training = facts["model"], facts["training"]
    settings = {name: facts[name] for name in ("model", "training", "decoding")}
    versions = ", ".join(f"{name} {version}" for name, version in facts["run"]["versions"].items())
    how = (
        f"Trained for up to {training['steps']:,} steps of {training['batch_tokens']:,} tokens in "
        f"`{training['precision']}`, with {versions}."
    )
    if imported := facts["run"].get(IMPORTED):
        how = f"Trained elsewhere and imported from {imported['from']}: `{imported['name']}`."
    return (
        f"{model['encoder_layers']} encoder and {model['decoder_layers']} decoder layers of width "
        f"{model['model_width']} with {model['heads']} heads, {model['inner_width']} wide inside, normalised "
        f"{'before' if model['normalization'] == 'pre' else 'after'} each sublayer; source, target and output share "
        f"one embedding. {how}\n\n"
        f"<details><summary>The whole configuration</summary>\n\n```toml\n{tomli_w.dumps(settings)}```\n\n</details>"
    )


def _limits(facts: Facts) -> str:
    options = facts["decoding"]
    return "\n".join(
        [
            "- Each text is translated separately, without the context of its document.",
            "- A text is split into sentences, and a sentence of more than "
            f"{options['max_source_tokens']} tokens into parts, which are translated separately.",
            "- Subjects, registers and spellings that are rare in its training data are translated worse.",
            "- A translation can be fluent and wrong. Only the scores above were measured, not bias, safety or quality "
            "on other text.",
        ]
    )


def _licence(facts: Facts) -> str:
    origins = [origin for split in facts["run"].get("corpora", {}).values() for origin in split["origins"]]
    known = sorted({f"{_origin(origin)}" for origin in origins if "licence" in origin})
    data = f" Licences of the data: {'; '.join(known)}." if known else ""
    if facts["license"]:
        return f"`{facts['license']}`, as stated by whoever exported the model.{data}"
    return (
        "**To be filled in:** no licence was stated. Write it here and beside `license` at the top before you publish "
        f"the model, or export it with `--license`.{data}"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Escapes special characters of Markdown in a text for a table cell."""
    for special in "\\|`*_<>[]":
        text = text.replace(special, f"\\{special}")
    return text
