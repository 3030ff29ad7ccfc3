import json
from pathlib import Path

import pytest
import sacrebleu
from sacrebleu import dataset
from sacrebleu.dataset import base

from keras_nmt.app import evaluation
from keras_nmt.app.errors import UserError
from keras_nmt.app.evaluation import score, tokenized_as
from keras_nmt.app.training.dev_sets import check_scoring
from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.sources.corpora import LanguagePair

HYPOTHESIS, REFERENCE = "the cat sat on the mat", "the cat is on the mat"


def test_identical_text_has_the_best_scores() -> None:
    scores = score([REFERENCE, "und noch ein ganzer Satz"], [REFERENCE, "und noch ein ganzer Satz"])
    assert (scores.bleu, scores.chrf, scores.ter) == pytest.approx((100.0, 100.0, 0.0))


def test_text_with_nothing_in_common_has_the_worst_scores() -> None:
    scores = score(["aa bb cc dd"], ["ee ff gg hh"])
    assert (scores.bleu, scores.chrf, scores.ter) == pytest.approx((0.0, 0.0, 100.0))


def test_one_wrong_word_of_six_is_scored_by_the_definitions() -> None:
    scores = score([HYPOTHESIS], [REFERENCE])
    # Matching n-grams: 5 of 6, 3 of 5, 1 of 4, and 0 of 3, which exponential smoothing counts as half a match.
    assert scores.bleu == pytest.approx(100 * (5 / 6 * 3 / 5 * 1 / 4 * 1 / 6) ** 0.25)
    assert scores.ter == pytest.approx(100 / 6)


def test_scores_are_of_the_corpus_and_not_the_mean_of_its_sentences() -> None:
    hypotheses, references = [HYPOTHESIS, "a dog"], [REFERENCE, "a dog"]
    scores = score(hypotheses, references)
    assert scores.chrf == pytest.approx(sacrebleu.corpus_chrf(hypotheses, [references]).score)
    assert scores.bleu == pytest.approx(sacrebleu.corpus_bleu(hypotheses, [references]).score)
    assert scores.ter == pytest.approx(100 / 8)


def test_the_signatures_name_version_and_tokenizer() -> None:
    signatures = score([HYPOTHESIS], [REFERENCE]).signatures
    version = f"version:{sacrebleu.__version__}"
    assert signatures["bleu"] == f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|{version}"
    assert "nc:6|nw:0" in signatures["chrf"]
    assert all(version in signature for signature in signatures.values())


def test_chinese_is_not_split_at_spaces() -> None:
    scores = score(["我喜欢这只猫。"], ["我喜欢这只狗。"], target_language="zh")
    assert "tok:zh" in scores.signatures["bleu"]
    assert scores.bleu > 30


def test_a_missing_tokenizer_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def bleu(trg_lang: str, tokenize: str | None) -> None:
        raise RuntimeError("\nJapanese tokenization requires extra dependencies")

    monkeypatch.setattr(evaluation, "BLEU", bleu)
    with pytest.raises(UserError, match=r"BLEU for ja needs another package; run: pip install 'sacrebleu\[ja\]'"):
        score(["猫"], ["猫"], target_language="ja")
    with pytest.raises(UserError, match=r"'sacrebleu\[ja\]', or set training.dev_sentences=0"):  # before a training
        check_scoring(Manifest(Path("data"), LanguagePair("en", "ja"), 8, "", {}, {}, {}))


def test_scores_are_formatted_as_json_and_as_text() -> None:
    scores = score([HYPOTHESIS], [REFERENCE])
    assert json.loads(json.dumps(scores.as_dict())).keys() == {"bleu", "chrf", "ter", "signatures"}
    lines = scores.lines()
    assert lines[0] == f"BLEU  37.99  {scores.signatures['bleu']}"
    assert lines[2] == f"TER   16.67  {scores.signatures['ter']}"


def test_unequal_counts_are_reported() -> None:
    with pytest.raises(UserError, match="2 translations but 3 references"):
        score(["a", "b"], ["a", "b", "c"])


def test_an_empty_list_cannot_be_scored() -> None:
    with pytest.raises(UserError, match="nothing to score"):
        score([], [])


def test_the_bundled_sample_is_a_test_set_in_both_directions() -> None:
    sources, references = evaluation.test_set("sample:tatoeba-en-de", "en-de")
    assert len(sources) == len(references) > 100
    assert evaluation.test_set("sample:tatoeba-en-de", "de-en") == (references, sources)


@pytest.fixture
def sacrebleu_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which sacreBLEU looks for wmt14."""
    monkeypatch.setattr(dataset.DATASETS["wmt14"], "_outdir", str(tmp_path))
    monkeypatch.setattr(dataset.DATASETS["wmt14"], "_rawdir", str(tmp_path / "raw"))
    return tmp_path


def test_a_test_set_of_sacrebleu_comes_from_its_download(
    sacrebleu_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(url: str, tarball: str, extract_to: str, expected_md5: str) -> None:
        folder = Path(extract_to) / "test"
        folder.mkdir(parents=True)
        folder.joinpath("newstest2014-deen-src.en.sgm").write_text(
            '<doc docid="1" genre="x" origlang="en">\n<seg id="1">A\u2028cat.</seg>\n<seg id="2">Two.</seg>\n</doc>\n'
        )
        folder.joinpath("newstest2014-deen-ref.de.sgm").write_text(
            '<doc docid="1">\n<seg id="1">Eine Katze.</seg>\n<seg id="2">Zwei.</seg>\n</doc>\n'
        )

    monkeypatch.setattr(base, "download_file", download)
    sources, references = evaluation.test_set("wmt14", "en-de")
    assert sources[1:] == ["Two."]
    assert references == ["Eine Katze.", "Zwei."]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(OSError("no route\nto host"), "no route to host"), (SystemExit(1), "damaged")],
)
def test_a_failed_download_says_what_to_do_instead(
    error: BaseException, reason: str, sacrebleu_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(base, "download_file", download)
    message = rf"cannot download test set wmt14 en-de \({reason}\); give the files with --source and --reference$"
    with pytest.raises(UserError, match=message):
        evaluation.test_set("wmt14", "en-de")


@pytest.mark.parametrize(
    ("name", "pair", "message"),
    [
        ("wmt14/ful", "en-de", "unknown test set 'wmt14/ful'; nearest known: wmt14/full"),
        ("newstest", "en-de", "unknown test set 'newstest'; nearest known: "),
        ("wmt14", "en-xx", "test set wmt14 has no pair 'en-xx'; nearest known: .*en-"),
    ],
)
def test_an_unknown_test_set_is_answered_with_the_nearest(name: str, pair: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluation.test_set(name, pair)


def test_a_malformed_pair_is_refused() -> None:
    with pytest.raises(DataError, match="expected a language pair such as en-de, got 'english'"):
        evaluation.test_set("wmt14", "english")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *((code, "zh") for code in ("zh", "ZH", "zh_CN", "zh-Hans", "zh-Hant-TW", "zho", "chi", "cmn", "yue")),
        *((code, "ja") for code in ("ja", "ja_JP", "ja-JP", "jpn")),
        *((code, "ko") for code in ("ko", "ko_KR", "kor")),
        *(
            ("de", "de"),
            ("de_AT", "de"),
            ("pt-BR", "pt"),
            ("es-419", "es"),
            ("", ""),
            ("xx", "xx"),
            ("no tag", "no tag"),
        ),
    ],
)
def test_a_language_has_its_tokenizer_for_every_form_of_its_code(code: str, expected: str) -> None:
    assert tokenized_as(code) == expected


def test_chinese_is_tokenized_alike_for_every_form_of_its_code() -> None:
    hypotheses, references = ["今天天气很好我们去公园走走吧。"], ["今天天气很好我们去公园散步吧。"]
    found = {code: score(hypotheses, references, target_language=code) for code in ("zh", "zh_CN", "zho", "yue")}
    assert {scores.signatures["bleu"] for scores in found.values()} == {found["zh"].signatures["bleu"]}
    assert {scores.bleu for scores in found.values()} == {found["zh"].bleu}
    assert found["zh"].bleu > 50


def test_a_translation_is_scored_by_the_nearest_of_several_references() -> None:
    scores = score([HYPOTHESIS], [REFERENCE], [HYPOTHESIS])
    assert scores.bleu == pytest.approx(100)
    assert "nrefs:2" in scores.signatures["bleu"]
    with pytest.raises(UserError, match="1 translations but 2 references"):
        score([HYPOTHESIS], [REFERENCE], ["a", "b"])


def test_a_tokenizer_can_be_chosen_by_a_known_name() -> None:
    assert "tok:char" in score([HYPOTHESIS], [REFERENCE], tokenizer="char").signatures["bleu"]
    with pytest.raises(UserError, match="there is no tokenizer moses; sacreBLEU has none, zh, 13a"):
        score([HYPOTHESIS], [REFERENCE], tokenizer="moses")
