"""Parsing a SPEC with its options, and the errors of invalid options."""

import pytest

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.corpora import CorpusSpec, LanguagePair, open_corpus, parse_spec

SHA256 = "0f" * 32


def test_a_spec_without_options_is_a_location() -> None:
    assert parse_spec("files:news") == CorpusSpec("files:news", "files:news")


def test_every_option_is_read() -> None:
    text = f"tsv:a.tsv?weight=2.5&tag=news&pair=en-fr&loss_weight=0.5&sha256={SHA256.upper()}"
    assert parse_spec(text) == CorpusSpec(
        text, "tsv:a.tsv", weight=2.5, tag="news", pair=LanguagePair("en", "fr"), loss_weight=0.5, sha256=(SHA256,)
    )


def test_the_fields_of_json_lines_are_read() -> None:
    spec = parse_spec("jsonl:mails.jsonl?source=body&target=subject line&weight=2")
    assert (spec.source_field, spec.target_field, spec.weight) == ("body", "subject line", 2.0)
    assert parse_spec("jsonl:mails.jsonl?target=subject").source_field is None


def test_the_weight_of_each_pair_may_be_in_a_column() -> None:
    assert parse_spec("tsv:a.tsv?loss_weight=column").loss_weight_column
    assert not parse_spec("tsv:a.tsv?loss_weight=0.5").loss_weight_column


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("files:corpora/?/train", "files:corpora/?/train"),
        ("files:corpora/?/train?weight=2", "files:corpora/?/train"),
        ("files:a?b*", "files:a?b*"),
        ("tsv:https://x.org/get?file=a.tsv?weight=2", "tsv:https://x.org/get?file=a.tsv"),
        ("reversed:files:a?weight=2", "reversed:files:a"),
    ],
)
def test_options_begin_at_the_last_question_mark_followed_by_a_name(text: str, location: str) -> None:
    spec = parse_spec(text)
    assert (spec.location, spec.weight) == (location, 2.0 if text.endswith("?weight=2") else 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "wieght=2",
            r"unknown option 'wieght'; did you mean weight\? known: weight, tag, pair, loss_weight, sha256, so",
        ),
        ("colour=red", "known: weight, tag, pair, loss_weight, sha256, source, target, documents, pos$"),
        ("colour=red", "unknown option 'colour'; known: weight"),
        ("weight=2&tag", "expected tag=VALUE, got 'tag'"),
        ("weight=2&weight=3", "gives weight twice; leave one"),
        ("loss_weight=column&loss_weight=2", "gives loss_weight twice; leave one"),
        ("weight=many", "weight must be a number, got 'many'"),
        ("weight=0", "weight must be a number above 0, got 0"),
        ("weight=nan", "weight must be a number above 0, got nan"),
        ("loss_weight=-1", "loss_weight must be a number above 0, got -1"),
        ("loss_weight=colum", "loss_weight must be a number or column, got 'colum'"),
        ("tag=a b", "expected a tag of letters, digits, _ and - such as news, got 'a b'"),
        ("tag=", "expected a tag of letters, digits, _ and - such as news, got ''"),
        ("pair=en", "corpus .*: expected a language pair such as en-de, got 'en'"),
        ("source=", "expected the name of a field, as in source=body&target=subject"),
        ("target=a&target=b", "gives target twice; leave one"),
        ("sha256=12", "expected a sha256 of 64 hexadecimal digits, got '12'; sha256sum FILE prints it"),
    ],
)
def test_an_invalid_option_is_reported(options: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_spec(f"files:a?{options}")


def test_the_query_of_an_address_is_distinguished_from_options() -> None:
    with pytest.raises(DataError, match=r"unknown option 'file'; .*with a query of its own, add \?weight=1"):
        parse_spec("tsv:https://x.org/get?file=a.tsv")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("files:a?loss_weight=column", r"files:a\?loss_weight=column: loss_weight=column needs tsv:FILE"),
        (
            "tsv:a.tsv?source=body",
            r"tsv:a.tsv\?source=body: source and target are fields of jsonl:FILE; leave them out",
        ),
        ("reversed:files:a?target=body", "source and target are fields of jsonl:FILE"),
        (f"sample:tatoeba-en-de?sha256={SHA256}", "sha256 is for files from https://; leave it out"),
    ],
)
def test_an_option_that_a_kind_does_not_support_is_refused(spec: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_corpus(spec, LanguagePair("en", "de"))
