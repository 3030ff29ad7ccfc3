"""What TensorBoard shows of a model that is being trained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorboard.plugins.projector import ProjectorConfig

from keras_nmt.app.config import load_configuration
from keras_nmt.app.training.callbacks.model_pictures import METADATA, SECONDS_BETWEEN, ModelPictures
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary


@pytest.fixture(scope="module")
def summaries(run: Path) -> dict[str, list[Any]]:
    """The summaries that a training wrote, by tag."""
    found: dict[str, list[Any]] = {}
    for file in sorted(run.joinpath("tensorboard").glob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(value)
    return found


def test_attention_of_sample_sentences_is_drawn(summaries: dict[str, list[Any]], run: Path) -> None:
    names = {f"attention {number}/{name}" for number in (1, 2) for name in ("encoder", "decoder", "cross", "pieces")}
    assert names <= set(summaries)
    source = Manifest.load(run.parent / "data").text("dev")[0].read_text().splitlines()[0]
    ids = Vocabulary.load(run / "vocabulary.model").encode([source])[0]
    row = tf.make_ndarray(summaries["attention 1/pieces"][0].tensor).item().decode().splitlines()[2]
    assert len(row.removeprefix("source | ").split()) == len(ids) + 1  # with EOS


def test_weights_and_gradients_have_histograms(summaries: dict[str, list[Any]]) -> None:
    for folder in ("weights", "gradients, moving average"):
        histogram = tf.make_ndarray(summaries[f"{folder}/embedding/embeddings"][0].tensor)  # left, right, count
        assert histogram[:, 2].sum() == 504 * 32
        assert histogram[0, 0] < 0 < histogram[-1, 1]
    assert sum(tag.startswith("weights/") for tag in summaries) > 10


def test_the_settings_are_hyperparameters(summaries: dict[str, list[Any]]) -> None:
    (session,) = summaries["_hparams_/session_start_info"]
    content = session.metadata.plugin_data.content
    assert b"training.warmup_steps" in content
    assert b"model.heads" in content
    assert b"dev_bleu" in summaries["_hparams_/experiment"][0].metadata.plugin_data.content


def test_the_projector_shows_each_piece_at_its_embedding(run: Path) -> None:
    folder = run / "tensorboard"
    vocabulary = Vocabulary.load(run / "vocabulary.model")
    assert (folder / METADATA).read_text(encoding="utf-8").splitlines() == vocabulary.pieces()
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (embedding,) = config.embeddings
    assert embedding.metadata_path == METADATA
    values = tf.train.load_variable(str(folder / config.model_checkpoint_path), embedding.tensor_name)
    assert values.shape == (504, 32)
    assert np.isfinite(values).all()


def test_pictures_come_once_a_minute_at_most(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sections = load_configuration(run / "config.toml").as_sections()
    pictures = ModelPictures(tmp_path, Vocabulary.load(run / "vocabulary.model"), sections)
    clock, written = [1000.0], []
    monkeypatch.setattr("keras_nmt.app.training.callbacks.model_pictures.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(ModelPictures, "write_all", lambda *_: written.append(clock[0]))
    for seconds in (0.0, SECONDS_BETWEEN - 1, 2.0):
        clock[0] += seconds
        pictures.write(None, [], {})  # type: ignore[arg-type]
    assert written == [1000.0, 1000.0 + SECONDS_BETWEEN + 1]
