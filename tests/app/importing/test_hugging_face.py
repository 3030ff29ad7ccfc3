"""An imported model compared with Hugging Face's: a `MarianMTModel` of OPUS-MT's shape with random weights.

Scores are plain log-probabilities (no length penalty), and the search goes on until nothing can get better
(`early_stopping="never"`): in this both searches are defined to be the same. Two things differ. Hugging Face lets a
hypothesis end where its end is among the K best extensions, ours among the 2K best; with these weights, which leave
little doubt about most tokens, no compared translation hangs on that. At the length limit Hugging Face takes the end
for certain, ours gives it its probability; so the results of beams are compared where theirs ends before, and
elsewhere ours must not be less probable.
"""

import json
import pickle
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_nmt.app.runs.choice import choose_checkpoint
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.pipelines.vocabulary.marian import MarianVocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, UNK
from tests.app.command_line import nmt, succeeded
from tests.marian_model import sentences, write_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

PIECES = 58_101
PAD = PIECES - 1
CODE = ">>deu<<"
GAIN = 20.0  # of the sharpened logits
MAX_EXTRA_TOKENS = 12
TEXTS = [english for english, _ in sentences(3_010)[3_000:]]


def random_model(sharp: bool) -> Any:
    """Returns an untrained model; if `sharp`, with weights for which each sentence has a translation of its own."""
    torch.manual_seed(0)
    model = transformers.MarianMTModel(
        transformers.MarianConfig(
            vocab_size=PIECES,
            decoder_vocab_size=PIECES,
            d_model=512,
            encoder_layers=6,
            decoder_layers=6,
            encoder_ffn_dim=2048,
            decoder_ffn_dim=2048,
            encoder_attention_heads=8,
            decoder_attention_heads=8,
            activation_function="swish",
            max_position_embeddings=512,
            scale_embedding=True,
            share_encoder_decoder_embeddings=True,
            tie_word_embeddings=True,
            pad_token_id=PAD,
            bos_token_id=0,
            eos_token_id=0,
            decoder_start_token_id=PAD,
            forced_eos_token_id=0,
        )
    ).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 1:
                weight.normal_(1.0 if "norm.weight" in name else 0.0, 0.1)
            elif sharp and "embed_positions" not in name:
                weight.normal_(0.0, weight.shape[1] ** -0.5)
        model.model.shared.weight[PAD] = 0.0
        model.final_logits_bias.normal_(0.0, 1.0)
        if sharp:
            sharpen(model)
    return model


def sharpen(model: Any) -> None:
    """Changes the decoder so that each sentence has a translation of its own, which ends."""
    for name, weight in model.model.decoder.named_parameters():
        if name.endswith(("out_proj.weight", "fc2.weight")):
            weight.mul_(0.4)
    norm = model.model.decoder.layers[-1].final_layer_norm.weight
    norm.copy_(GAIN * torch.randn(512).sign())  # else the previous token would be the most probable one
    model.final_logits_bias[0, 0] = 2.8 * GAIN


@pytest.fixture(scope="module", params=[False, True], ids=["as initialised", "sharp"])
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Path]:
    """The model, its tokenizer, and our run."""
    folder = tmp_path_factory.mktemp("marian")
    model = random_model(request.param)
    assert write_tokenizer(folder, count=3_000, size=2_000, codes=[CODE], table_size=PIECES) == PIECES
    if request.param:
        model.save_pretrained(folder)
    else:
        model.config.save_pretrained(folder)
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    succeeded(nmt("import-marian", folder, "--out", folder / "run"))
    settings = (folder / "run" / "config.toml").read_text()
    shorter = settings.replace("max_extra_tokens = 50", f"max_extra_tokens = {MAX_EXTRA_TOKENS}")
    (folder / "run" / "config.toml").write_text(shorter)
    return model, transformers.MarianTokenizer.from_pretrained(folder), folder / "run"


@pytest.fixture(scope="module")
def vocabulary(imported: tuple[Any, Any, Path]) -> MarianVocabulary:
    return MarianVocabulary.load(imported[2] / "vocabulary.model")


def test_texts_have_the_same_tokens(imported: tuple[Any, Any, Path], vocabulary: MarianVocabulary) -> None:
    texts = [*TEXTS, f"{CODE} {TEXTS[0]}", "Naïve 猫 🙂 …", "  two  spaces "]
    for text, ours in zip(texts, vocabulary.encode(texts).to_list(), strict=True):
        assert [*vocabulary.marian_ids[ours], 0] == imported[1](text)["input_ids"]
    for text, ours in zip(texts[:-3], vocabulary.encode_target(texts[:-3]).to_list(), strict=True):
        assert [*vocabulary.marian_ids[ours], 0] == imported[1](text_target=text)["input_ids"]


def test_logits_are_equal(imported: tuple[Any, Any, Path], vocabulary: MarianVocabulary) -> None:
    model, tokenizer, run_path = imported
    run = RunDirectory.open(run_path)
    transformer = run.load_transformer(choose_checkpoint(run), "float32")
    source = vocabulary.encode(TEXTS).to_list()
    target = np.random.default_rng(0).integers(EOS + 1, vocabulary.size, (len(TEXTS), 9))
    longest = 1 + max(map(len, source))
    padded = np.array([[*row, EOS, *[0] * (longest - len(row) - 1)] for row in source])
    shifted = np.pad(target, [(0, 0), (1, 0)], constant_values=BOS)
    ours = keras.ops.convert_to_numpy(transformer({"source": padded, "target": shifted}))
    batch = tokenizer(TEXTS, return_tensors="pt", padding=True)
    with torch.no_grad():
        theirs = model(**batch, decoder_input_ids=torch.tensor(vocabulary.marian_ids[shifted])).logits.numpy()
    np.testing.assert_allclose(
        ours[:, :, UNK:], theirs[:, :, vocabulary.marian_ids[UNK:]], rtol=1e-4, atol=1e-4 * theirs.std()
    )


@pytest.mark.parametrize("beam_size", [1, 4])
def test_translations_are_equal(imported: tuple[Any, Any, Path], tmp_path: Path, beam_size: int) -> None:
    model, tokenizer, run = imported
    if model.final_logits_bias[0, 0] < GAIN:
        pytest.skip("as initialised, no translation ever ends")
    (tmp_path / "text").write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    options = ("--beam-size", str(beam_size), "--length-penalty", "0", "--json")
    ours = [json.loads(line) for line in succeeded(nmt("translate", run, tmp_path / "text", *options)).lines]
    compared = set()
    for text, found in zip(TEXTS, ours, strict=True):
        tokens, score, ended = their_translation(model, tokenizer, text, beam_size)
        assert found["score"] > score - 1e-3
        if ended or beam_size == 1:
            expected = tokenizer.decode(tokens, skip_special_tokens=True)
            assert found["translation"] == expected
            compared.add(expected)
            assert found["score"] == pytest.approx(score, rel=1e-4, abs=1e-3)
    assert len(compared) > len(TEXTS) / 3


def test_a_damaged_pytorch_file_is_named(imported: tuple[Any, Any, Path], tmp_path: Path) -> None:
    for path in imported[2].parent.glob("*.*"):
        if path.is_file() and path.name != "model.safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "pytorch_model.bin"
    for content in (b"damaged", pickle.dumps(print), b""):
        weights.write_bytes(content)
        done = nmt("import-marian", tmp_path, "--out", tmp_path / "run")
        assert (done.code, len(done.complaints)) == (1, 1)
        assert done.complaints[0].startswith(f"nmt import-marian: {weights} is damaged: ")
        assert "Traceback" not in done.err


def their_translation(model: Any, tokenizer: Any, text: str, beam_size: int) -> tuple[Any, float, bool]:
    """Returns the tokens, their log-probability, and whether they ended before the limit."""
    batch = tokenizer(text, return_tensors="pt")
    limit = batch["input_ids"].shape[1] + MAX_EXTRA_TOKENS
    search = {"length_penalty": 0.0, "early_stopping": "never"} if beam_size > 1 else {}
    with torch.no_grad():
        tokens = model.generate(
            **batch, num_beams=beam_size, do_sample=False, max_new_tokens=limit, bad_words_ids=[[PAD]], **search
        )
        scores = model(**batch, decoder_input_ids=tokens[:, :-1]).logits.log_softmax(-1)
    score = scores.gather(2, tokens[:, 1:, None]).sum()
    return tokens[0], float(score), tokens.shape[1] - 1 < limit
