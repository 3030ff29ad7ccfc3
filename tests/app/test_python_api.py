"""The Python API: Keras' own `compile` and `fit` on our layers and streams, and what follows a training."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_nmt
from keras_nmt.app.config import Configuration, TrainingConfig
from keras_nmt.app.errors import UserError
from keras_nmt.app.training.building import build_trainer
from keras_nmt.app.training.callbacks.attention_pictures import CELL, COLOURS, GAP, attention_picture
from keras_nmt.app.training.keras_fit import callbacks as keras_callbacks
from keras_nmt.app.training.machines.distribution import divide, mirrored_strategy
from tests.app.command_line import nmt
from tests.app.traced_once import tracing_once

BATCH_TOKENS, MAX_LENGTH = 256, 32
SIZES = {"model_width": 16, "inner_width": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1}


def test_every_public_name_is_there_and_described() -> None:
    for name in keras_nmt.__all__:
        assert getattr(keras_nmt, name).__doc__, name
    assert set(keras_nmt.__all__) <= set(dir(keras_nmt))
    with pytest.raises(AttributeError, match="has no attribute 'transformer_big'"):
        _ = keras_nmt.transformer_big


def test_type_checkers_see_the_names_that_there_are() -> None:
    tree = ast.parse(Path(keras_nmt.__file__).read_text())
    named = {alias.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert named - {None} == set(keras_nmt.__all__)
    assert Path(keras_nmt.__file__).with_name("py.typed").exists()


def test_importing_it_imports_neither_keras_nor_tensorflow() -> None:
    code = "import sys, keras_nmt; print({'keras', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def transformer(data: Path, **further: Any) -> keras_nmt.Transformer:
    size = keras_nmt.Manifest.load(data).vocabulary_size
    keras.utils.set_random_seed(3)
    return keras_nmt.Transformer(keras_nmt.TransformerConfig(vocabulary_size=size, **{**SIZES, **further}))


def compiled(model: keras_nmt.Transformer, smoothing: float = 0.1) -> keras_nmt.Transformer:
    optimizer = keras.optimizers.Adam(keras_nmt.NoamSchedule(16, 8), beta_2=0.98, epsilon=1e-9)
    metrics = [keras_nmt.TokenAccuracy(), keras_nmt.Perplexity()]
    model.compile(optimizer, keras_nmt.LabelSmoothedCrossEntropy(smoothing), weighted_metrics=metrics)
    return model


def streams(data: Path) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    sizes = {"batch_tokens": BATCH_TOKENS, "max_length": MAX_LENGTH}
    options = keras_nmt.StreamOptions(seed=1, **sizes)
    return keras_nmt.training_stream(data, options), keras_nmt.evaluation_stream(data, **sizes)


@pytest.fixture(scope="module")
def sources() -> list[str]:
    return ["It rains.", "Who is there?"]


@pytest.fixture(
    scope="module", params=[pytest.param(1, id="one device"), pytest.param(2, id="two devices", marks=pytest.mark.slow)]
)
def fitted(
    request: pytest.FixtureRequest, data: Path, sources: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[keras_nmt.Transformer, keras.callbacks.History, Path]:
    """A model that `fit` trained for two epochs of three steps, with the callbacks that people use."""
    out = tmp_path_factory.mktemp("fit")
    vocabulary = keras_nmt.Vocabulary.load(data / "vocabulary.model")
    strategy = mirrored_strategy() if request.param == 2 else tf.distribute.get_strategy()
    with strategy.scope():
        model = compiled(transformer(data))
    train, dev = streams(data)
    decoding = keras_nmt.DecodingOptions(beam_size=1, max_extra_tokens=3)
    callbacks = [
        keras_nmt.DevBleu(vocabulary, sources, ["Es regnet.", "Wer da?"], target_language="de", decoding=decoding),
        keras_nmt.SampleTranslations(vocabulary, sources, out / "logs", decoding=decoding),
        keras_nmt.AttentionPictures(vocabulary, sources[:1], out / "logs", decoding=decoding),
        keras.callbacks.TensorBoard(out / "logs"),
        keras.callbacks.BackupAndRestore(out / "backup", delete_checkpoint=False),
        keras.callbacks.ModelCheckpoint(out / "best.keras", monitor="val_bleu", mode="max", save_best_only=True),
    ]
    # The three callbacks that translate share what is traced: they have the same model, vocabulary and options.
    graph_once = cache(keras_callbacks.TranslationGraph)
    with tracing_once(), mock.patch.object(keras_callbacks, "TranslationGraph", graph_once):
        history = model.fit(
            train, steps_per_epoch=3, epochs=2, validation_data=dev, callbacks=callbacks, shuffle=False, verbose=0
        )
    return model, history, out


def test_fit_learns_and_reports(fitted: tuple[keras_nmt.Transformer, keras.callbacks.History, Path]) -> None:
    _, history, out = fitted
    figures = history.history
    assert figures["loss"][1] < figures["loss"][0]
    names = {"loss", "token_accuracy", "perplexity", "val_loss", "val_token_accuracy", "val_perplexity", "val_bleu"}
    assert set(figures) == names
    assert all(len(values) == 2 and np.isfinite(values).all() for values in figures.values())
    assert figures["val_perplexity"][1] < figures["val_perplexity"][0]
    assert any((out / "backup").rglob("*"))


def test_tensorboard_shows_translations_and_attention(
    fitted: tuple[keras_nmt.Transformer, keras.callbacks.History, Path], sources: list[str]
) -> None:
    found: dict[str, tf.Tensor] = {}
    for file in fitted[2].joinpath("logs").glob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            found |= {value.tag: value.tensor for value in event.summary.value}
    table = tf.make_ndarray(found["samples"]).item().decode()
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == sources
    assert {f"attention 1/{name}" for name in ("encoder", "decoder", "cross", "pieces")} <= set(found)
    picture = tf.io.decode_png(found["attention 1/encoder"].string_val[2])
    row = tf.make_ndarray(found["attention 1/pieces"]).item().decode().splitlines()[2]
    pieces = row.removeprefix("source | ").split()
    assert picture.shape == (CELL * len(pieces), 2 * CELL * len(pieces) + GAP, 3)


def test_the_saved_model_is_the_same_model(
    fitted: tuple[keras_nmt.Transformer, keras.callbacks.History, Path], data: Path, tmp_path: Path
) -> None:
    model, _, out = fitted
    inputs, _ = next(iter(streams(data)[1]))
    wanted = model(inputs)
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "model.keras")(inputs), wanted, atol=1e-6)
    assert isinstance(keras.saving.load_model(out / "best.keras"), keras_nmt.Transformer)
    ids = keras.InputSpec(shape=(None, None), dtype="int32")
    model.export(tmp_path / "model", input_signature=[{"source": ids, "target": ids}], verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    served = loaded.serve(dict(inputs))
    np.testing.assert_allclose(served, wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_the_loss_is_that_of_nmt_train(data: Path, devices: int) -> None:
    """On the same batches, from the same weights, with plain gradient descent, step after step."""
    strategy = mirrored_strategy() if devices == 2 else tf.distribute.get_strategy()
    with strategy.scope():
        model = transformer(data, residual_dropout=0.0)
        settings = TrainingConfig(precision="float32", learning_rate=1.0, warmup_steps=10)
        trainer = build_trainer(Configuration(model.config, settings, keras_nmt.DecodingOptions()))
        for ours, theirs in zip(trainer.transformer.weights, model.weights, strict=True):
            ours.assign(theirs)
        compiled(model)
        model.optimizer.learning_rate = keras_nmt.NoamSchedule(16, 10)
    train = streams(data)[0]
    losses, wanted = (_Losses() for _ in range(2))
    model.fit(train, steps_per_epoch=4, callbacks=[losses], shuffle=False, verbose=0)
    trainer.fit(divide(lambda host: train, strategy), steps_per_epoch=4, callbacks=[wanted], shuffle=False, verbose=0)
    means = [sum(wanted.found[: i + 1]) / (i + 1) for i in range(4)]  # Keras shows the mean since the epoch began
    np.testing.assert_allclose(losses.found, means, rtol=1e-5)


class _Losses(keras.callbacks.Callback):
    """Keeps the loss that each step reports."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.found.append(float(logs["loss"]))


@pytest.mark.usefixtures("traced_once")
def test_a_model_in_memory_translates_as_its_run_does(data: Path, tmp_path: Path, sources: list[str]) -> None:
    model = transformer(data)
    vocabulary = keras_nmt.Vocabulary.load(data / "vocabulary.model")
    decoding = keras_nmt.DecodingOptions(beam_size=2, max_extra_tokens=4)
    in_memory = [
        translation.text for translation in keras_nmt.translator(model, vocabulary, decoding).translate(sources)
    ]
    run = keras_nmt.save_run(model, data, tmp_path / "run", decoding)
    loaded = keras_nmt.load_model(str(run)).translator().translate(sources)
    assert [translation.text for translation in loaded] == in_memory
    text = tmp_path / "text"
    text.write_text("\n".join(sources))
    done = nmt("translate", run, text)
    assert done.out.splitlines() == in_memory
    with pytest.raises(UserError, match="exists"):
        keras_nmt.save_run(model, data, run)
    with pytest.raises(UserError, match="has 29 pieces"):
        keras_nmt.save_run(
            keras_nmt.Transformer(keras_nmt.TransformerConfig(vocabulary_size=29, **SIZES)), data, tmp_path / "other"
        )


def test_a_picture_shows_layers_below_and_heads_beside_each_other() -> None:
    weights = np.zeros((2, 2, 1, 3), np.float32)  # T = 1, S = 3
    weights[0, 0, 0, 2], weights[0, 1, 0, 0], weights[1, 1, 0, 2] = 1.0, 0.5, 0.25
    picture = attention_picture(weights)
    assert picture.shape == (2 * CELL + GAP, 6 * CELL + GAP, 3)
    at = {(0, 0): 0, (0, 3 * CELL - 1): 4, (CELL - 1, 3 * CELL + GAP): 2, (CELL + GAP, 6 * CELL + GAP - 1): 1}
    assert {place: picture[place].tolist() for place in at} == {
        place: COLOURS[colour].astype(int).tolist() for place, colour in at.items()
    }
    assert picture[0, 3 * CELL].tolist() == picture[CELL, 0].tolist() == [255] * 3
