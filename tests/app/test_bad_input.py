"""Unusable input is refused in one line that says what is wrong where, and nothing is left half-written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_nmt.pipelines.shards.manifest import Manifest
from tests.app.command_line import SAMPLE, nmt, refusal, succeeded, train_arguments, tree

pytestmark = pytest.mark.usefixtures("traced_once")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with some text files."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "two.en": "It rains.\nWho?\n",
        "two.de": "Es regnet.\nWer?\n",
        "unequal.en": "It rains.\nWho?\nI\n",
        "unequal.de": "Es regnet.\n",
        "empty.tsv": "",
        "blank.tsv": "\t\n \t \n",
        "no-tab.tsv": "It rains. Es regnet.\n",
        "text.zip": "PK\x03\x04",
    }.items():
        Path(name).write_text(text, encoding="utf-8")
    Path("folder").mkdir()
    Path("folder/file").write_text("mine\n")
    return tmp_path


TRANSLATE = ["translate", "none", "two.en"]


def of_sample(pair: str = "en-de", out: str = "data", size: str = "504") -> list[str]:
    options = ["--pair", pair, "--out", out, "--vocabulary-size", size]
    return ["prepare", *options, "--corpus", SAMPLE, "--dev", SAMPLE]


PREPARE = ["prepare", "--pair", "en-de", "--out", "data", "--vocabulary-size", "504", "--workers", "1"]
NO_COMMAND_WITH_A_MODEL: list[tuple[list[str], str]] = [
    # prepare
    ([*PREPARE, "--corpus", "files:unequal", "--dev", SAMPLE], "unequal.en has 3 lines but unequal.de has 1"),
    ([*PREPARE, "--corpus", SAMPLE, "--limit", "600", "--dev", "files:unequal"], "unequal.en has 3 lines but"),
    (
        [*PREPARE, "--corpus", "files:none", "--dev", SAMPLE],
        "found none of none.en, none.en.gz, none.en.xz, none.en.zst, none.en.bz2; give the path",
    ),
    ([*PREPARE, "--corpus", "tsv:none.tsv", "--dev", SAMPLE], "no file none.tsv; give a file with en, a tab, de"),
    ([*PREPARE, "--corpus", "tsv:empty.tsv", "--dev", SAMPLE], "corpus tsv:empty.tsv is empty: expected at least one"),
    ([*PREPARE, "--corpus", "tsv:blank.tsv", "--dev", SAMPLE], "cleaning left no pair of tsv:blank.tsv"),
    ([*PREPARE, "--corpus", "tsv:no-tab.tsv", "--dev", SAMPLE], "no-tab.tsv line 1 has no tab"),
    (
        [*PREPARE, "--corpus", "tsv:text.zip", "--dev", SAMPLE],
        "text.zip is a zip archive, which is not supported; unpack it",
    ),
    ([*PREPARE, "--corpus", "tsv:-", "--dev", "tsv:-"], "are all standard input, which can be read only once; name"),
    ([*PREPARE, "--corpus", SAMPLE, "--dev", SAMPLE, "--max-tokens", "10000000"], "max_tokens must be at most 1000000"),
    ([*PREPARE, "--corpus", "file:two", "--dev", SAMPLE], "did you mean files:PREFIX?"),
    ([*PREPARE, "--corpus", "files:two", "--dev", SAMPLE], "the text is too small for a vocabulary of any size"),
    (of_sample(size="500"), "use --vocabulary-size 504"),
    ([*PREPARE, "--corpus", SAMPLE, "--dev", SAMPLE, "--vocabulary", "two.en"], "two.en is not a SentencePiece model"),
    (of_sample(pair="ende"), "expected a language pair such as en-de"),
    (of_sample(out="folder"), "folder exists and is not prepared data"),
    (of_sample(out="two.en/data"), "not a directory"),
    # evaluate
    (["evaluate", "--hypothesis", "two.de", "--reference", "unequal.de"], "2 translations but 1 references"),
    (["evaluate", "--hypothesis", "two.de", "--reference", "none"], "cannot read none: there is no such file"),
    (["evaluate", "--hypothesis", "folder", "--reference", "two.de"], "cannot read folder: it is a folder"),
    (["evaluate", "--hypothesis", "empty.tsv", "--reference", "empty.tsv"], "nothing to score: expected at least one"),
    (["evaluate", "--reference", "two.de"], "give either a MODEL or --hypothesis FILE"),
    (["evaluate", "--hypothesis", "two.de"], "give either --test-set NAME, or --reference FILE"),
    (["evaluate", "run", "--reference", "two.de"], "give --source FILE beside --reference"),
    (["evaluate", "--hypothesis", "two.de", "--test-set", "wmt14"], "give --pair SRC-TGT beside --test-set"),
    (["evaluate", "--hypothesis", "two.de", "--test-set", "wtm14", "--pair", "en-de"], "nearest known: wmt14"),
    (["evaluate", "--hypothesis", "two.de", "--reference", "two.de", "--output", "no/f"], "there is no folder no"),
    # wrong MODEL, RUN or DATA
    (["translate", "folder", "two.en"], "folder is not a model: expected a run of `nmt train` or an export of"),
    (
        ["translate", "none", "two.en"],
        "none is not a model: expected a run of `nmt train` or an export of `nmt export`",
    ),
    (["translate", "none", "missing"], "cannot read missing: there is no such file"),
    (["translate", "none", "two.en", "--n-best", "0"], "--n-best is 0; it must be at least 1"),
    ([*TRANSLATE, "--sample", "--temperature", "0"], "--temperature is 0.0; it must be above 0"),
    ([*TRANSLATE, "--sample", "--top-p", "1.5"], "--top-p is 1.5; it must be above 0 and at most 1"),
    ([*TRANSLATE, "--sample", "--top-k", "0"], "--top-k is 0; it must be at least 1"),
    ([*TRANSLATE, "--sample", "--seed", "-1"], "--seed is -1; it must be at least 0"),
    ([*TRANSLATE, "--top-k", "5"], "--top-k is for --sample; add it, or leave --top-k out"),
    ([*TRANSLATE, "--sample", "--prefix", "two.de"], "--sample does not support --prefix"),
    ([*TRANSLATE, "--alternatives"], "--alternatives needs a --prefix; add one"),
    ([*TRANSLATE, "--token-scores"], "--token-scores needs --json; add it"),
    ([*TRANSLATE, "--glossary", "missing"], "cannot read missing: there is no such file"),
    ([*TRANSLATE, "--glossary", "two.de", "--n-best", "2"], "--glossary is for the best translation"),
    (["evaluate", "none", "--test-set", SAMPLE], "none is not a model"),
    (["average", "folder"], "folder is not a run of `nmt train`: it has no config.toml"),
    (["average", "none", "--last", "0"], "--last is 0; it must be at least 1"),
    (["average", "none", "--best", "0"], "--best is 0; it must be at least 1"),
    (["export", "none", "--out", "export"], "none is not a run of `nmt train`: there is no such folder"),
    (["train", "none", "--out", "run"], "none is not a prepared data directory"),
    (["train", "folder", "--out", "run"], "folder has no manifest.json"),
    (["train", "none", "--out", "run", "--preset", "bsae"], 'no preset "bsae" (did you mean base?); the presets are'),
    (
        ["train", "none", "--out", "run", "--set", "steps=4"],
        'cannot read the setting "steps=4"; write section.key=value',
    ),
]


@pytest.mark.parametrize(("arguments", "message"), NO_COMMAND_WITH_A_MODEL)
def test_unusable_input_is_named_and_nothing_is_written(here: Path, arguments: list[str], message: str) -> None:
    before = tree(here)
    assert message in refusal(nmt(*arguments), arguments[0])
    assert tree(here) == before


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.stpes=4", "preset tiny: [training] has no setting stpes (did you mean steps?)"),
        ("trainng.steps=4", "preset tiny: there is no section [trainng] (did you mean training?)"),
        ("training.steps=many", "preset tiny: [training] steps is 'many'; it must be a whole number"),
        ("model.heads=3", "model width 32 is not a multiple of 3 heads; use"),
        ("model.vocabulary_size=512", "but the vocabulary of {data} has 504 pieces; leave the setting out"),
        ("model.logits_bias=true", "[model] logits_bias is for imported models and cannot be trained; leave it out"),
    ],
)
def test_a_wrong_setting_is_named_and_no_run_is_created(data: Path, here: Path, setting: str, message: str) -> None:
    before = tree(here)
    assert message.format(data=data) in refusal(nmt(*train_arguments(data, here / "run", setting)), "train")
    assert tree(here) == before


@pytest.mark.parametrize("arguments", [[], ["trian"], ["train"], ["train", "data"], ["prepare", "--pair", "en-de"]])
def test_an_unreadable_command_line_is_answered_with_the_usage(arguments: list[str]) -> None:
    done = nmt(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("usage: nmt")


# train


@pytest.mark.parametrize("name", ["folder", "two.en"])
def test_train_does_not_write_into_a_folder_that_is_not_a_run(data: Path, here: Path, name: str) -> None:
    before = tree(here)
    line = refusal(nmt(*train_arguments(data, here / name)), "train")
    assert line == f"{here / name} exists and is not a run of `nmt train`; choose another --out"
    assert tree(here) == before


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.seed=2", "was started with training.seed = 1, not 2; resume with --set training.seed=1, or choose"),
        ("model.inner_width=128", "was started with model.inner_width = 64, not 128; resume with"),
    ],
)
def test_a_run_does_not_resume_with_another_setting(data: Path, run_copy: Path, setting: str, message: str) -> None:
    before = tree(run_copy)
    assert message in refusal(nmt(*train_arguments(data, run_copy, setting)), "train")
    assert tree(run_copy) == before


def test_all_differing_settings_are_named_at_once(data: Path, run_copy: Path) -> None:
    settings = ("training.seed=2", "model.inner_width=128", "training.label_smoothing=0.3")
    line = refusal(nmt(*train_arguments(data, run_copy, *settings)), "train")
    for part in ("model.inner_width = 64, not 128", "seed = 1, not 2", "--set training.label_smoothing=0.1"):
        assert part in line


@pytest.mark.parametrize(
    "setting", ["training.batch_tokens=64", "training.max_length=2"], ids=["too small a budget", "no pair fits"]
)
def test_settings_that_do_not_suit_the_data_leave_no_run(data: Path, tmp_path: Path, setting: str) -> None:
    refusal(nmt(*train_arguments(data, tmp_path / "run", setting)), "train")
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_resume_with_other_data_of_its_vocabulary(road: Path, run_copy: Path, tmp_path: Path) -> None:
    specs = ("--corpus", f"tsv:{road / 'dev.tsv'}", "--dev", f"tsv:{road / 'dev.tsv'}", "--workers", "1")
    vocabulary = ("--vocabulary", run_copy / "vocabulary.model")
    succeeded(
        nmt("prepare", "--pair", "en-de", *specs, *vocabulary, "--skip-filter", "held_out", "--out", tmp_path / "data")
    )
    line = refusal(nmt(*train_arguments(tmp_path / "data", run_copy)), "train")
    assert line == f"{run_copy} was trained on other data than {tmp_path / 'data'} holds now; choose another --out"


def test_a_run_without_a_checkpoint_starts_over_with_other_settings(data: Path, run_copy: Path) -> None:
    shutil.rmtree(run_copy / "checkpoints")
    settings = ("training.seed=5", "training.steps=1", "training.dev_sentences=0")
    succeeded(nmt(*train_arguments(data, run_copy, *settings)))
    assert "seed = 5" in (run_copy / "config.toml").read_text()
    assert [json.loads(line)["step"] for line in (run_copy / "metrics.jsonl").read_text().splitlines()] == [1]


def test_a_run_does_not_resume_with_data_of_another_vocabulary(road: Path, run_copy: Path, tmp_path: Path) -> None:
    specs = ("--corpus", f"tsv:{tmp_path / 'other.tsv'}", "--dev", f"tsv:{road / 'dev.tsv'}", "--workers", "1")
    rows = (f"word{i % 90}ing is {i}\tein w{i % 70}ort ist {i}\n" for i in range(400))
    (tmp_path / "other.tsv").write_text("".join(rows))
    succeeded(nmt("prepare", "--pair", "en-de", *specs, "--vocabulary-size", "296", "--out", tmp_path / "data"))
    before = tree(run_copy)
    line = refusal(nmt(*train_arguments(tmp_path / "data", run_copy)), "train")
    assert line.startswith(f"wrong vocabulary for the data: {run_copy} was trained with another vocabulary")
    assert tree(run_copy) == before


def spoil_vocabulary(data: Path) -> None:
    (data / "vocabulary.model").write_bytes(b"other")


def cut_shard(data: Path) -> None:
    shard = data / "train-00003-of-00008.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1])


def remove_shard(data: Path) -> None:
    (data / "train-00003-of-00008.tfrecord").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (spoil_vocabulary, "vocabulary.model is the wrong vocabulary for this data"),
        (cut_shard, "train-00003-of-00008.tfrecord has"),
        (remove_shard, "train-00003-of-00008.tfrecord is missing"),
    ],
)
def test_damaged_data_is_found_before_training(
    data: Path, here: Path, damage: Callable[[Path], None], message: str
) -> None:
    copy = Path(shutil.copytree(data, here / "data"))
    damage(copy)
    before = tree(here)
    assert message in refusal(nmt(*train_arguments(copy, here / "run")), "train")
    assert tree(here) == before


def test_a_corrupt_shard_is_named_before_training_and_earlier_checkpoints_are_kept(
    data: Path, run_copy: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(data, tmp_path / "data"))
    shard = copy / Manifest.load(copy).split("train").shards[3].file
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    before = tree(run_copy / "checkpoints")
    line = refusal(nmt(*train_arguments(copy, run_copy, "training.steps=6")), "train")
    assert line == f"{shard} is corrupt: its checksum is not that of the manifest; run nmt prepare again"
    assert tree(run_copy / "checkpoints") == before
    assert len((run_copy / "metrics.jsonl").read_text().splitlines()) == 4


# Models


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--n-best", "3"], "--n-best is 3, but the beam holds 2; ask for fewer or a larger beam"),
        (["--n-best", "2", "--beam-size", "1"], "--n-best is 2, but the beam holds 1"),
        (["--beam-size", "0"], "beam_size must be at least 1, got 0"),
        (["--length-penalty", "nan"], "length_penalty must be between -10 and 10, got nan"),
    ],
)
def test_an_invalid_search_is_refused(run: Path, options: list[str], message: str) -> None:
    assert message in refusal(nmt("translate", run, *options, stdin=b"I\n"), "translate")


def test_too_few_checkpoints_to_average_are_counted(run_copy: Path) -> None:
    line = refusal(nmt("average", run_copy, "--last", "3"), "average")
    assert line.startswith(f"{run_copy / 'checkpoints'} has 2 checkpoint(s), fewer than --last 3; train further")
    assert not (run_copy / "checkpoints" / "average").exists()


def test_too_few_evaluated_checkpoints_to_average_are_counted(run_copy: Path) -> None:
    (run_copy / "dev.jsonl").write_text('{"step": 2, "dev_bleu": 1.0}\n')
    line = refusal(nmt("average", run_copy, "--best", "2"), "average")
    assert line == (
        f"{run_copy / 'checkpoints'} has 1 evaluated checkpoint(s), fewer than --best 2; train further, or keep more "
        "with --set training.keep_best"
    )


def test_a_damaged_checkpoint_is_not_averaged(run_copy: Path) -> None:
    message = damage_all_checkpoints(run_copy)
    assert refusal(nmt("average", run_copy, "--last", "1"), "average") == message
    assert not (run_copy / "checkpoints" / "average").exists()


@pytest.mark.parametrize("choice", ["3", "average", "newest"])
def test_a_missing_checkpoint_is_answered_with_the_existing_ones(run: Path, choice: str) -> None:
    line = refusal(nmt("translate", run, "--checkpoint", choice, stdin=b"I\n"), "translate")
    assert line == f"{run} has no checkpoint {choice}; it has last, best, 2, 4"


def test_an_export_has_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    line = refusal(nmt("translate", tmp_path, "--checkpoint", "best", stdin=b"I\n"), "translate")
    assert line == f"{tmp_path} was exported from one checkpoint; leave --checkpoint out, or name the run"


def test_a_model_is_not_scored_on_texts_of_unequal_length(run: Path, here: Path) -> None:
    files = ("--source", "unequal.en", "--reference", "two.de")
    line = refusal(nmt("evaluate", run, *files, "--output", "translation"), "evaluate")
    assert line == "unequal.en has 3 lines but two.de has 2; a source line needs one reference line"
    assert not (here / "translation").exists()


def damage_all_checkpoints(run: Path) -> str:
    paths = sorted((run / "checkpoints").iterdir())
    for path in paths:
        (path / "weights.npz").write_bytes((path / "weights.npz").read_bytes()[:-9])
    return f"{paths[-1]} is damaged: weights.npz has another checksum than when it was written"


def remove_checkpoints(run: Path) -> str:
    shutil.rmtree(run / "checkpoints")
    return f"{run} has no checkpoint yet; resume it with the same `nmt train` command"


def damage_manifest(run: Path) -> str:
    (run / "manifest.json").write_text("{")
    return f"{run / 'manifest.json'} is damaged"


def change_vocabulary_digest(run: Path) -> str:
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"vocabulary_digest": "0"}))
    return f"{run / 'vocabulary.model'} is not the vocabulary that the run was trained with"


@pytest.mark.parametrize(
    "damage",
    [damage_all_checkpoints, remove_checkpoints, damage_manifest, change_vocabulary_digest],
    ids=lambda f: f.__name__,
)
def test_a_damaged_run_is_refused_with_the_name_of_its_file(run_copy: Path, damage: Callable[[Path], str]) -> None:
    message = damage(run_copy)
    assert refusal(nmt("translate", run_copy, stdin=b"I\n"), "translate").startswith(message)


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.data-00000-of-00001", "assets.extra/nmt.json"])
def test_a_damaged_export_is_refused(export: Path, tmp_path: Path, file: str) -> None:
    copy = Path(shutil.copytree(export, tmp_path / "export"))
    damaged = copy / "1" / file
    damaged.write_bytes(damaged.read_bytes()[:100])
    line = refusal(nmt("translate", copy, stdin=b"I\n"), "translate")
    assert line.startswith(f"cannot load the export {copy / '1'}: ")
    assert line.endswith("; export the run again")


def test_an_export_without_an_engine_cannot_use_it(export: Path) -> None:
    line = refusal(nmt("translate", export, "--engine", "ctranslate2"), "translate")
    assert line == f"{export} is no export for ctranslate2; export the run again with --format ctranslate2"


def test_a_saved_model_has_no_quantization(run: Path, here: Path) -> None:
    line = refusal(nmt("export", run, "--out", "export", "--quantization", "int8"), "export")
    assert line == "--quantization is for --format ctranslate2; leave it out"


def test_an_export_is_not_written_over_a_file(run: Path, here: Path) -> None:
    before = tree(here)
    line = refusal(nmt("export", run, "--out", "two.en"), "export")
    assert line == "cannot write two.en: not a directory"
    assert tree(here) == before
