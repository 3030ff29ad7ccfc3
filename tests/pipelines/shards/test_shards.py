"""Prepared data on disk, and the errors if it was changed."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.shards.lanes import Host
from keras_nmt.pipelines.shards.manifest import MANIFEST, VOCABULARY, Manifest
from keras_nmt.pipelines.shards.reading import read_lengths, read_tokens, reporting_data_errors, verify_shards
from keras_nmt.pipelines.vocabulary.tokenizer import EOS, Vocabulary
from tests.pipelines.conftest import FIRST_ID, MakeData

SHARD = "train-00001-of-00003.tfrecord"


@pytest.fixture
def data(make_data: MakeData, tmp_path: Path) -> Path:
    return make_data(tmp_path / "data", [(2 + i % 5, 2 + i % 7) for i in range(32)])


def change_manifest(data_dir: Path, **changes: Any) -> None:
    path = data_dir / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_record_is_an_example_of_two_lists_that_end_in_eos(data: Path) -> None:
    record = next(tf.data.TFRecordDataset(str(data / SHARD)).as_numpy_iterator())
    features = tf.train.Example.FromString(record).features.feature
    source, target = (list(features[side].int64_list.value) for side in ("source", "target"))
    assert set(features) == {"source", "target"}
    assert source[0] == target[0] >= FIRST_ID
    assert source[-1] == target[-1] == EOS


def test_the_manifest_has_the_counts_of_the_shards(data: Path) -> None:
    split = Manifest.load(data).split("train")
    lengths = read_lengths(data, split.shards)
    tokens = read_tokens(data, split.shards)
    assert split.examples == len(lengths) == 32
    assert np.array_equal(tokens.lengths, lengths)
    totals = (sum(shard.source_tokens for shard in split.shards), sum(shard.target_tokens for shard in split.shards))
    assert totals == (len(tokens.values[0]), len(tokens.values[1])) == tuple(lengths.sum(axis=0))
    assert max(shard.longest_source for shard in split.shards) == 6
    assert max(shard.longest_target for shard in split.shards) == 8
    assert split.length_histogram == tuple(np.bincount(lengths.max(axis=1)))
    assert split.longer_than(5) == np.count_nonzero(lengths.max(axis=1) > 5)


def test_the_lengths_beside_a_shard_are_those_of_its_records(data: Path) -> None:
    for shard in Manifest.load(data).split("train").shards:
        assert np.array_equal(np.load(data / shard.lengths_file), read_tokens(data, [shard]).lengths)


def test_reading_leaves_pythons_parser_to_other_threads(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = Manifest.load(data).split("train").shards
    monkeypatch.delattr("ast.literal_eval")
    with pytest.raises(AttributeError, match="literal_eval"):
        np.load(data / shards[0].lengths_file)
    assert len(read_tokens(data, shards).lengths) == 32


def test_intact_data_passes_verification(data: Path) -> None:
    verify_shards(Manifest.load(data))


def test_verification_names_the_shard_with_a_changed_byte(data: Path) -> None:
    contents = bytearray((data / SHARD).read_bytes())
    contents[50] ^= 1
    (data / SHARD).write_bytes(contents)
    manifest = Manifest.load(data)
    with pytest.raises(DataError, match=f"{SHARD} is corrupt: its checksum is not that of the manifest"):
        verify_shards(manifest)
    with pytest.raises(DataError, match=f"{SHARD} is corrupt or cut short"):
        read_tokens(data, manifest.split("train").shards)


def test_a_machine_verifies_its_own_lanes(make_data: MakeData, tmp_path: Path) -> None:
    data_dir = make_data(tmp_path / "data", [(4, 4)] * 32, shards=8)
    manifest = Manifest.load(data_dir)
    for i in (0, 2, 4, 6):
        shard = manifest.split("train").shards[i]
        (data_dir / shard.file).write_bytes(bytes(shard.bytes))
    verify_shards(manifest, Host(1, 2))
    for host in (Host(0, 2), Host(1, 3), Host(6, 8)):
        with pytest.raises(DataError, match=r"train-0000[0246]-of-00008\.tfrecord is corrupt"):
            verify_shards(manifest, host)


def test_a_truncated_shard_is_named(data: Path) -> None:
    manifest = Manifest.load(data)
    (data / SHARD).write_bytes((data / SHARD).read_bytes()[:-20])
    with pytest.raises(DataError, match=rf"{SHARD} has \d+ bytes, expected \d+: it is cut short or changed"):
        Manifest.load(data)
    with pytest.raises(DataError, match=f"{SHARD} is corrupt or cut short"):
        read_tokens(data, manifest.split("train").shards)


def test_a_shard_of_other_data_is_named(data: Path) -> None:
    manifest = Manifest.load(data)
    sizes = {shard.file: shard.examples for shard in manifest.split("train").shards}
    other = next(file for file, examples in sizes.items() if examples != sizes[SHARD])
    shutil.copy(data / other, data / SHARD)
    with pytest.raises(DataError, match=f"{SHARD} (does not hold what the manifest says|is corrupt)"):
        read_tokens(data, manifest.split("train").shards)


@pytest.mark.parametrize("file", [SHARD, SHARD.replace("tfrecord", "lengths.npy"), VOCABULARY])
def test_a_missing_file_is_named(data: Path, file: str) -> None:
    (data / file).unlink()
    with pytest.raises(DataError, match=f"{file} is missing; run nmt prepare again"):
        Manifest.load(data)


def test_damaged_lengths_are_named(data: Path) -> None:
    shards = Manifest.load(data).split("train").shards
    np.save(data / shards[1].lengths_file, np.zeros((3, 2), np.int32))
    with pytest.raises(DataError, match=r"lengths\.npy has shape \(3, 2\), expected"):
        read_lengths(data, shards)
    (data / shards[1].lengths_file).write_bytes(b"no array")
    with pytest.raises(DataError, match=r"cannot read .*lengths\.npy"):
        read_lengths(data, shards)


def test_the_wrong_vocabulary_is_reported(data: Path, prepared: Path) -> None:
    shutil.copy(prepared / VOCABULARY, data / VOCABULARY)
    with pytest.raises(DataError, match=r"vocabulary\.model is the wrong vocabulary for this data: expected digest"):
        Manifest.load(data)


def test_the_vocabulary_comes_with_the_data(data: Path, vocabulary: Vocabulary) -> None:
    assert Manifest.load(data).vocabulary().digest == vocabulary.digest


def test_a_missing_directory_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none is not a prepared data directory: there is no such directory"):
        Manifest.load(tmp_path / "none")


def test_a_directory_without_manifest_is_reported(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"has no manifest\.json: nmt prepare was interrupted or this is not its output"
    ):
        Manifest.load(tmp_path)


@pytest.mark.parametrize(("contents", "message"), [
    ("{", "is damaged"),
    ("[]", "is not a manifest of prepared data; give the --out"),
    ("{}", "is not a manifest of prepared data; give the --out"),
    ('{"format": 99}', "has format 99, this program reads 1"),
    ('{"format": 1}', "is damaged .at 'pair'."),
])  # fmt: skip
def test_an_unreadable_manifest_is_reported(tmp_path: Path, contents: str, message: str) -> None:
    (tmp_path / MANIFEST).write_text(contents)
    with pytest.raises(DataError, match=message):
        Manifest.load(tmp_path)


def test_a_manifest_that_cannot_be_written_completely_is_not_written(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_half(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError("disk full")

    before = (data / MANIFEST).read_bytes()
    manifest = Manifest.load(data)
    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(OSError, match="disk full"):
        manifest.save()
    assert (data / MANIFEST).read_bytes() == before


def test_a_manifest_of_an_older_shard_layout_is_reported(data: Path) -> None:
    change_manifest(data, splits={"train": {"shards": [{"name": "x"}], "length_histogram": []}})
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        Manifest.load(data)


def test_only_the_dev_split_keeps_raw_text(prepared: Path) -> None:
    manifest = Manifest.load(prepared)
    assert [path.name for path in manifest.text()] == ["dev.en", "dev.de"]
    with pytest.raises(DataError, match="keeps no raw text of split 'train'; use dev"):
        manifest.text("train")


def test_other_tensorflow_errors_are_not_converted() -> None:
    with pytest.raises(tf.errors.NotFoundError), reporting_data_errors():
        tf.io.read_file("/no/such/file")
