"""A small Marian model, imported by the command line and compared with a NumPy model of the same tensors."""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import sentencepiece
from safetensors.numpy import save_file

from keras_nmt.app.runs.choice import choose_checkpoint
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.training.memory import machine
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD, UNK
from tests.app.command_line import nmt, succeeded
from tests.marian_model import Array, Tensors, config, random_tensors, write_tokenizer
from tests.oracles.marian import MarianOracle
from tests.oracles.transformer import softmax

CODE = ">>deu<<"
MAX_EXTRA_TOKENS = 50
POSITIONS = 42
SENTENCE = "The dog sleeps. "
LONG = f"{CODE} {SENTENCE * 12}"
TEXTS = ["Where is the station?", "", "Tom doesn't want to go.", f"{CODE} She sings.", "Naïve 猫", f"{CODE} ", LONG]


class Model(NamedTuple):
    """The folder of a model's files, and what they hold."""

    folder: Path
    oracle: MarianOracle
    table: dict[str, int]

    def source_ids(self, text: str) -> list[int]:
        """Returns the ids of SentencePiece's pieces in vocab.json; a language code at the start is one piece."""
        code = [CODE] if text.startswith(CODE) else []
        processor = sentencepiece.SentencePieceProcessor(model_file=str(self.folder / "source.spm"))
        pieces = processor.encode(text.removeprefix(CODE), out_type=str)
        return [self.table.get(piece, self.table["<unk>"]) for piece in (code + pieces if pieces else [])]

    def tokens(self, text: str) -> list[int]:
        """The greedy translation's, its end included."""
        ids = self.source_ids(text)
        return self.oracle.greedy([*ids, 0], self.limit(text)) if ids else []

    def limit(self, text: str) -> int:
        """The most tokens of a translation."""
        return len(self.source_ids(text)) + 1 + MAX_EXTRA_TOKENS

    def translation(self, text: str) -> str:
        """The greedy translation of a text; of the long one it is that of each sentence."""
        if text == LONG:
            return " ".join([self.translation(f"{CODE} {SENTENCE}")] * 12)
        found = self.tokens(text)
        pieces = {i: piece for piece, i in self.table.items()}
        processor = sentencepiece.SentencePieceProcessor(model_file=str(self.folder / "target.spm"))
        text = processor.decode([pieces[i] for i in found if pieces[i] not in ("</s>", "<unk>", "<pad>")])
        return text.replace("▁", " ").strip()


def written(folder: Path, *, flat: bool = False, **changes: Any) -> Model:
    """A model's files with such settings in config.json; if `flat`, with variances as small as PyTorch's epsilon."""
    folder.mkdir(exist_ok=True)
    settings = config(write_tokenizer(folder, count=300, size=150, codes=[CODE]), **changes)
    tensors = random_tensors(settings)
    last = f"model.decoder.layers.{settings['decoder_layers'] - 1}.final_layer_norm"
    sharpen(tensors, tensors[f"{last}.weight"])
    if flat:
        for name in tensors:
            if ("norm" in name or "out_proj" in name or "fc2" in name) and not name.startswith(last):
                tensors[name] *= 0.003
    (folder / "config.json").write_text(json.dumps(settings))
    save_file(tensors, folder / "model.safetensors")
    table = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    return Model(folder, MarianOracle(settings, tensors), table)


def sharpen(tensors: Tensors, last_norm: Array) -> None:
    """Changes weights so that translations differ, and some end before their limit."""
    for name in tensors:
        if name.startswith("model.decoder") and name.endswith(("out_proj.weight", "fc2.weight")):
            tensors[name] *= 0.5
    last_norm *= 4 * np.resize([1, -1, -1], len(last_norm))  # signs, or the token before would be the most probable one
    tensors["final_logits_bias"][0, 0] = 6.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Tests do not write to it."""
    return written(tmp_path_factory.mktemp("model"), max_position_embeddings=POSITIONS)


@pytest.fixture(scope="module")
def translations(model: Model) -> list[str]:
    """The greedy translations of the independent implementation."""
    found = [model.translation(text) for text in TEXTS]
    assert len(set(found)) == len(TEXTS) - 1  # both texts without a word have the empty one
    return found


@pytest.fixture(scope="module")
def run(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert succeeded(nmt("import-marian", model.folder, "--out", out)).lines == [str(out)]
    return out


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return file_of(tmp_path, TEXTS)


def file_of(folder: Path, lines: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "text").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder / "text"


def translated(run: Path, text: Path, *options: str) -> list[str]:
    return succeeded(nmt("translate", run, text, *options)).lines


def logits(run_path: Path, source: list[int], target: list[int]) -> Any:
    run = RunDirectory.open(run_path)
    inputs = {"source": np.array([source]), "target": np.array([target])}
    return keras.ops.convert_to_numpy(run.load_transformer(choose_checkpoint(run), "float32")(inputs))[0]


@pytest.mark.parametrize(
    "changes", [{}, {"scale_embedding": False, "activation_function": "relu"}], ids=["as OPUS-MT", "unscaled, relu"]
)
@pytest.mark.parametrize("flat", [False, True], ids=["", "flat"])
def test_logits_equal_an_independent_implementations(changes: dict[str, Any], flat: bool, tmp_path: Path) -> None:
    model = written(tmp_path / "model", flat=flat, **changes)
    succeeded(nmt("import-marian", model.folder, "--out", tmp_path / "run"))
    theirs = RunDirectory.open(tmp_path / "run").vocabulary().marian_ids
    source, target = np.random.default_rng(0).integers(EOS + 1, len(theirs), (2, 11)).tolist()
    ours = logits(tmp_path / "run", [*source, EOS], [BOS, *target])
    expected = model.oracle.logits([*theirs[source], 0], [model.table["<pad>"], *theirs[target]])
    np.testing.assert_allclose(ours[:, UNK:], expected[:, theirs[UNK:]], rtol=1e-4, atol=1e-4)
    assert np.all(ours[:, [PAD, BOS]] < -1000)  # they take no probability


def test_translations_equal_those_of_an_independent_implementation(
    run: Path, text: Path, translations: list[str]
) -> None:
    assert translated(run, text, "--beam-size", "1") == translations


@pytest.mark.slow
def test_a_saved_model_translates_as_the_run_does(
    run: Path, text: Path, translations: list[str], tmp_path: Path
) -> None:
    succeeded(nmt("export", run, "--out", tmp_path / "export", "--precision", "float32"))
    assert translated(tmp_path / "export", text, "--beam-size", "1") == translations


@pytest.mark.slow
def test_ctranslate2_translates_as_the_run_does(model: Model, run: Path, tmp_path: Path) -> None:
    ending = [text for text in TEXTS if text != LONG and len(model.tokens(text)) < model.limit(text)]
    assert len(ending) > 4  # of the others it finds some tokens more
    succeeded(nmt("export", run, "--out", tmp_path / "export", "--format", "ctranslate2"))
    found = translated(tmp_path / "export", file_of(tmp_path, ending), "--beam-size", "1")
    assert found == [model.translation(text) for text in ending]


@pytest.mark.slow
def test_scores_equal_the_log_probabilities_of_an_independent_implementation(
    model: Model, run: Path, tmp_path: Path
) -> None:
    source, target = file_of(tmp_path / "source", ["She sings."]), file_of(tmp_path / "target", ["Sie singt."])
    found = json.loads(succeeded(nmt("score", run, "--source", source, "--target", target, "--json")).out)
    ids = [model.table.get(token["piece"], model.table["<unk>"]) for token in found["tokens"]]
    logits = model.oracle.logits([*model.source_ids("She sings."), 0], [model.table["<pad>"], *ids[:-1]])
    expected = np.log(softmax(logits)[range(len(ids)), ids])
    np.testing.assert_allclose([token["log_probability"] for token in found["tokens"]], expected, atol=1e-4)


def test_beam_and_language_pair_come_from_the_models_files(run: Path) -> None:
    opened = RunDirectory.open(run)
    assert (opened.configuration.decoding.beam_size, opened.configuration.decoding.length_penalty) == (3, 1.0)
    assert opened.manifest["pair"] == {"source": "en", "target": "de"}
    assert opened.configuration.decoding.max_source_tokens == POSITIONS - 2


def test_an_imported_model_cannot_be_trained_further(run: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: 2**36)  # else a busy machine would refuse a large step
    done = nmt("train", data, "--out", run)
    assert done.code == 1
    assert done.complaints[0].startswith("nmt train: wrong vocabulary for the data: ")
    done = nmt("train", data, "--out", run.with_name("other"), "--warm-start", run)
    expected = f"{run} was imported, and its vocabulary cannot prepare data; train from the beginning"
    assert done.complaints[-1] == f"nmt train: {expected}"


BAD_SETTINGS = {
    "normalize_before": (True, "normalize_before is true; only models with false can be imported"),
    "share_encoder_decoder_embeddings": (
        False,
        "share_encoder_decoder_embeddings is false; only models with true can be imported",
    ),
    "activation_function": ("gelu", 'activation_function is "gelu"; only models with relu or swish can be imported'),
    "model_type": ("t5", 'model_type is "t5"; only models with "marian" can be imported'),
    "decoder_vocab_size": (7, "decoder_vocab_size is 7; only models with that of vocab_size can be imported"),
    "decoder_ffn_dim": (7, "decoder_ffn_dim is 7; only models with that of encoder_ffn_dim can be imported"),
    "d_model": (None, "d_model is null; expected a whole number above 0"),
    "decoder_start_token_id": (0, "decoder_start_token_id is 0; in vocab.json it is "),
}


@pytest.fixture
def copy(model: Model, tmp_path: Path) -> Path:
    """A copy of the files, to write to."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in model.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def refusal(folder: Path, *options: str) -> str:
    """Returns the error of the command, which is one line and leaves no run."""
    out = folder.parent / "out"
    done = nmt("import-marian", folder, "--out", out, *options)
    assert (done.code, done.out, len(done.complaints)) == (1, "", 1)
    assert "Traceback" not in done.err
    assert not out.exists()
    assert list(folder.parent.glob(".*")) == []
    return done.complaints[0].removeprefix("nmt import-marian: ").replace(str(folder), "DIR")


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_a_model_that_the_layers_cannot_compute_is_refused(name: str, copy: Path) -> None:
    value, expected = BAD_SETTINGS[name]
    settings = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**settings, name: value}))
    assert refusal(copy).startswith(f"DIR/config.json: {expected}")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("config.json", "DIR/config.json is damaged: "),
        ("tokenizer_config.json", "DIR/tokenizer_config.json is damaged: "),
        ("vocab.json", "DIR: vocab.json is not JSON: "),
        ("source.spm", "DIR: source.spm is not a SentencePiece model"),
        ("target.spm", "DIR: target.spm is not a SentencePiece model"),
        ("model.safetensors", "DIR/model.safetensors is damaged: "),
    ],
)
def test_a_damaged_file_is_named(name: str, expected: str, copy: Path) -> None:
    (copy / name).write_bytes(b"damaged")
    assert refusal(copy).startswith(expected)


@pytest.mark.parametrize("name", ["config.json", "vocab.json", "source.spm", "target.spm", "model.safetensors"])
def test_a_missing_file_is_named(name: str, copy: Path) -> None:
    (copy / name).unlink()
    assert refusal(copy).startswith(f"DIR is not a Marian model: it has no {name}; expected config.json, ")


def test_a_package_that_is_not_installed_is_named(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    assert refusal(copy) == "this needs safetensors; install it with pip install 'keras-nmt[marian]'"
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    monkeypatch.setitem(sys.modules, "torch", None)
    expected = (
        "DIR/pytorch_model.bin needs PyTorch: pip install 'torch>=2.6'; or take a model that has model.safetensors"
    )
    assert refusal(copy) == expected


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none").startswith("DIR is not a Marian model: there is no such folder; ")


def test_the_pair_must_be_given_if_no_file_names_it(copy: Path) -> None:
    (copy / "tokenizer_config.json").unlink()
    assert refusal(copy) == "DIR/tokenizer_config.json names no languages; give them with --pair, as in en-de"
    out = copy.parent / "named"
    succeeded(nmt("import-marian", copy, "--out", out, "--pair", "en-nl"))
    assert RunDirectory.open(out).manifest["pair"] == {"source": "en", "target": "nl"}


def test_tensors_that_do_not_fit_are_named(copy: Path, model: Model) -> None:
    tensors = random_tensors(dict(model.oracle.settings))
    for changed, expected in (
        ({"lm_head.weight": tensors["model.shared.weight"] + 1}, "model.shared.weight and lm_head.weight differ; "),
        (
            {"model.encoder.layers.0.fc1.bias": np.zeros(3, "f4")},
            "expected model.encoder.layers.0.fc1.bias of shape [23]",
        ),
        (
            {"model.decoder.embed_positions.weight": np.ones((POSITIONS, 16), "f4")},
            "model.decoder.embed_positions.weight is not",
        ),
    ):
        save_file(tensors | changed, copy / "model.safetensors")
        assert refusal(copy).startswith(f"DIR/model.safetensors: {expected}")


def test_an_existing_folder_is_not_overwritten(model: Model, run: Path) -> None:
    done = nmt("import-marian", model.folder, "--out", run)
    assert done.complaints == [f"nmt import-marian: {run} exists; choose another --out"]
