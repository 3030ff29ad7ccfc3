"""Subword regularisation: probabilities of segmentations, and reproducible draws."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.shards.reading import TokenizedPairs, read_tokens
from keras_nmt.pipelines.streaming.batching import BatchPlan
from keras_nmt.pipelines.streaming.subwords.sampler import SubwordSampler, row_keys
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD, Vocabulary
from tests.pipelines.streaming.streams import assert_machines_read_in_turn, batches_of, training_stream

OPTIONS: dict[str, Any] = {"batch_tokens": 2048, "max_length": 128, "seed": 5, "window_pairs": 1000}
ALPHA = 0.2
MARKS, SPACE, A, N, SPACE_A, AN, SPACE_AN, AA = range(4), 4, 5, 6, 7, 8, 9, 10
WEIGHTS = {"▁": 1.0, "a": 0.4, "n": 0.2, "▁a": 0.6, "an": 0.3, "▁an": 0.5}  # the example of `lattices`
Batch = tuple[dict[str, np.ndarray], np.ndarray]


def example_model() -> bytes:
    """Returns the vocabulary of the example in `lattices`, with the user-defined piece "aa"."""
    model = sentencepiece_model_pb2.ModelProto()
    kind = model.SentencePiece
    for mark, kind_of_mark in (("<pad>", kind.CONTROL), ("<unk>", kind.UNKNOWN), ("<s>", kind.CONTROL)):
        model.pieces.add(piece=mark, score=0, type=kind_of_mark)
    model.pieces.add(piece="</s>", score=0, type=kind.CONTROL)
    for piece, weight in WEIGHTS.items():
        model.pieces.add(piece=piece, score=math.log(weight))
    model.pieces.add(piece="aa", score=0, type=kind.USER_DEFINED)
    return bytes(model.SerializeToString())


def as_tokens(sentences: Sequence[list[int]]) -> TokenizedPairs:
    """Returns pairs that have the same sentence, followed by EOS, as source and target."""
    rows = [[*sentence, EOS] for sentence in sentences]
    values = np.array([token for row in rows for token in row], np.int32)
    lengths = np.repeat(np.array([[len(row)] for row in rows], np.int32), 2, axis=1)
    return TokenizedPairs((values, values), lengths, np.cumsum(lengths, axis=0, dtype=np.int64) - lengths)


def draws(model: bytes, alpha: float, sentence: list[int], times: int, width: int = 64) -> Counter[tuple[int, ...]]:
    """Draws a sentence many times and counts its segmentations, without EOS."""
    segmentations = SubwordSampler(model, alpha).segmentations(as_tokens([sentence]))
    plan = BatchPlan(np.zeros(times, np.int64), width, width)
    inputs, _ = segmentations.draw_batch(plan, row_keys(len(plan.rows), np.random.default_rng(1)), plan.room)
    return Counter(tuple(real(row)[:-1]) for row in inputs["source"])


@cache
def beginning(data_dir: Path, epoch: int) -> list[Batch]:
    """Returns the first batches of an epoch, as many as the test of positions needs."""
    return batches(data_dir, 44, start_epoch=epoch, sampling_alpha=ALPHA)


def real(row: np.ndarray) -> list[int]:
    """Returns the tokens of a row without padding."""
    length = np.count_nonzero(row)
    assert (row[length:] == PAD).all()
    return [int(token) for token in row[:length]]


def batches(data_dir: Path, count: int, **options: Any) -> list[Batch]:
    return list(islice(training_stream(data_dir, **OPTIONS | options).as_numpy_iterator(), count))


def epoch_of(data_dir: Path, **options: Any) -> list[Batch]:
    options = OPTIONS | options
    start_epoch = options.get("start_epoch", 0)
    counted = {name: value for name, value in options.items() if name != "start_epoch"}
    return batches(data_dir, batches_of(data_dir, start_epoch, **counted), **options)


def texts(epoch: list[Batch], vocabulary: Vocabulary) -> list[tuple[bytes, bytes]]:
    """Decodes the pairs of an epoch."""
    sides = [[inputs["source"] for inputs, _ in epoch], [labels for _, labels in epoch]]
    width = max(ids.shape[1] for side in sides for ids in side)
    decoded = []
    for side in sides:
        rows = np.concatenate([np.pad(ids, ((0, 0), (0, width - ids.shape[1])), constant_values=PAD) for ids in side])
        assert np.array_equal(rows != PAD, np.arange(width) < np.count_nonzero(rows, axis=1)[:, np.newaxis])
        decoded.append(vocabulary.decode(rows).numpy())
    return sorted((source, target) for source, target in zip(*decoded, strict=True) if source)


@cache
def stored_epoch(data_dir: Path) -> tuple[list[tuple[bytes, bytes]], int]:
    """Returns the decoded pairs of an epoch with stored segmentations, and the number of target tokens."""
    epoch = epoch_of(data_dir)
    tokens = sum(np.count_nonzero(labels) for _, labels in epoch)
    return texts(epoch, Vocabulary.load(data_dir / "vocabulary.model")), tokens


def same(left: list[Batch], right: list[Batch]) -> bool:
    flat = [tf.nest.flatten(side) for side in (left, right)]
    return len(flat[0]) == len(flat[1]) and all(map(np.array_equal, *flat))


class TestSampler:
    def test_the_worked_example_is_drawn_with_its_probabilities(self) -> None:
        shares = {(SPACE_AN,): 0.5, (SPACE, AN): 0.3, (SPACE_A, N): 0.6 * 0.2, (SPACE, A, N): 0.4 * 0.2}
        found = draws(example_model(), 1.0, [SPACE_AN], 20_000)
        assert found.keys() == shares.keys()
        for segmentation, share in shares.items():
            assert found[segmentation] / 20_000 == pytest.approx(share, abs=0.01)

    @pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
    def test_segmentations_are_drawn_with_the_probabilities_of_the_model(
        self, vocabulary: Vocabulary, alpha: float
    ) -> None:
        """Compares with all segmentations and scores that SentencePiece enumerates."""
        processor = sentencepiece.SentencePieceProcessor(model_proto=vocabulary.model)
        text = "the station there"
        every = {tuple(ids) for ids in processor.nbest_encode_as_ids(text, 512)}
        weights = {ids: math.exp(alpha * sum(map(processor.get_score, ids))) for ids in every}
        total, times = sum(weights.values()), 40_000
        found = draws(vocabulary.model, alpha, processor.encode(text), times)
        assert 20 < len(every) < 512  # SentencePiece returns at most 512
        assert found.keys() <= every
        distance = sum(abs(found[ids] / times - weight / total) for ids, weight in weights.items()) / 2
        assert distance < 0.5 * math.sqrt(len(every) / times) + 0.002

    def test_a_smaller_alpha_gives_more_variety(self, vocabulary: Vocabulary) -> None:
        sentence = vocabulary.encode(["the other house is behind the station"]).to_list()[0]
        kinds = [len(draws(vocabulary.model, alpha, sentence, 1000)) for alpha in (2.0, 0.5, 0.1)]
        assert kinds[0] < kinds[1] < kinds[2]

    def test_byte_pieces_are_kept(self, vocabulary: Vocabulary) -> None:
        text = "under☃stand 𝄞"
        sentence = vocabulary.encode([text]).to_list()[0]
        found = draws(vocabulary.model, 0.1, sentence, 300)
        assert len(found) > 5
        decoded = vocabulary.decode(tf.ragged.constant([list(ids) for ids in found]).to_tensor()).numpy()
        assert {line.decode() for line in decoded} == {text}

    def test_a_user_defined_piece_is_neither_split_nor_created(self) -> None:
        assert set(draws(example_model(), 0.1, [SPACE, AA, N], 200)) == {(SPACE, AA, N)}
        assert all(AA not in found for found in draws(example_model(), 0.1, [SPACE, A, A], 200))

    def test_a_sentence_that_never_fits_keeps_its_stored_segmentation(self) -> None:
        found = draws(example_model(), 0.1, [SPACE_AN], 200, width=2)
        assert set(found) == {(SPACE_AN,)}
        assert len(draws(example_model(), 0.1, [SPACE_AN], 200, width=3)) == 3  # three pieces do not fit

    def test_a_vocabulary_without_probabilities_is_refused(self) -> None:
        model = sentencepiece_model_pb2.ModelProto.FromString(example_model())
        model.trainer_spec.model_type = model.trainer_spec.BPE
        with pytest.raises(
            DataError, match=r"sampling segmentations needs a unigram vocabulary, .* use sampling_alpha 0"
        ):
            SubwordSampler(model.SerializeToString(), 0.1)

    def test_there_is_room_for_longer_segmentations_up_to_the_maximum(self) -> None:
        sampler = SubwordSampler(example_model(), 0.1)
        lengths = np.array([[2, 10], [30, 40], [50, 1]], np.int32)
        room = sampler.room(lengths, max_length=40)
        assert (room >= lengths).all()
        assert room[0, 1] > 12
        assert room[1].tolist() == [40, 40]
        assert room[2, 0] == 50  # longer than the maximum, so it is skipped
        assert room[2, 1] == 1

    def test_a_sentence_that_does_not_fit_is_drawn_again_with_other_keys(self) -> None:
        """Only draws of at most 3 pieces fit; otherwise the stored segmentation is kept."""
        sentence = [SPACE_AN, SPACE_AN]
        segmentations = SubwordSampler(example_model(), 0.1).segmentations(as_tokens([sentence] * 2000))
        plan = BatchPlan(np.arange(2000), 4, 4)
        keys = row_keys(2000, np.random.default_rng(0))
        stored = [*sentence, EOS, PAD]
        left = [
            (segmentations.draw_batch(plan, keys[:, :n], plan.room)[0]["source"] == stored).all(axis=1).mean()
            for n in (1, 2, 4)
        ]
        assert left[0] > 0.5
        assert left[1] < 0.9 * left[0]
        assert left[2] < 0.8 * left[1]

    def test_equal_keys_draw_the_same_in_any_process(self) -> None:
        """Draws of SentencePiece itself would differ."""
        segmentations = SubwordSampler(example_model(), 1.0).segmentations(as_tokens([[SPACE_AN, SPACE_AN, SPACE_AN]]))
        plan = BatchPlan(np.array([0, -1]), 8, 10)
        inputs, labels = segmentations.draw_batch(
            plan, row_keys(len(plan.rows), np.random.Generator(np.random.PCG64([1, 2]))), plan.room
        )
        assert inputs["source"].tolist() == [[SPACE_AN, SPACE_A, N, SPACE_AN, EOS, PAD, PAD, PAD], [PAD] * 8]
        assert [real(row) for row in labels] == [[SPACE_AN, SPACE_AN, SPACE_AN, EOS], []]


class TestStream:
    def test_without_sampling_the_stored_segmentations_are_read(self, prepared: Path) -> None:
        assert same(batches(prepared, 5), batches(prepared, 5, sampling_alpha=0.0))
        manifest = Manifest.load(prepared)
        stored = read_tokens(prepared, manifest.split("train").shards)
        read = Counter(np.concatenate([inputs["source"].ravel() for inputs, _ in epoch_of(prepared)]).tolist())
        del read[PAD]
        assert read == Counter(stored.values[0].tolist())

    @settings(deadline=None, max_examples=3)
    @given(alpha=st.sampled_from([0.05, 0.2, 0.7]), tokens=st.integers(1024, 3000), seed=st.integers(0, 99))
    def test_every_pair_is_read_once_an_epoch_within_the_budget_in_drawn_pieces(
        self, prepared: Path, alpha: float, tokens: int, seed: int
    ) -> None:
        vocabulary = Vocabulary.load(prepared / "vocabulary.model")
        drawn = epoch_of(prepared, sampling_alpha=alpha, batch_tokens=tokens, seed=seed)
        stored_texts, stored_tokens = stored_epoch(prepared)
        assert texts(drawn, vocabulary) == stored_texts
        assert sum(np.count_nonzero(labels) for _, labels in drawn) > stored_tokens
        for inputs, labels in drawn:
            assert max(inputs["source"].size, labels.size) <= tokens
            assert labels.shape[0] % 8 == 0

    def test_each_side_ends_in_eos_and_the_decoder_input_is_shifted(self, prepared: Path) -> None:
        for inputs, labels in batches(prepared, 20, sampling_alpha=ALPHA):
            for source, target, said in zip(inputs["source"], inputs["target"], labels, strict=True):
                for sentence in (real(source), real(said)):
                    assert not sentence or (sentence[-1] == EOS and EOS not in sentence[:-1])
                assert real(target) == [BOS, *real(said)][: len(real(said))]

    def test_nearly_all_sentences_are_drawn_and_few_cells_are_padding(self, prepared: Path) -> None:
        """At so small an alpha, longer sentences are hardly ever drawn in their best segmentation by chance."""
        stored = {tuple(real(row)) for inputs, _ in epoch_of(prepared) for row in inputs["source"]}
        drawn = epoch_of(prepared, sampling_alpha=0.05)
        long = [row for inputs, _ in drawn for row in map(real, inputs["source"]) if len(row) > 12]
        assert sum(tuple(row) in stored for row in long) / len(long) < 0.03
        cells = sum(inputs["source"].size + labels.size for inputs, labels in drawn)
        filled = sum(np.count_nonzero(inputs["source"]) + np.count_nonzero(labels) for inputs, labels in drawn)
        assert 1 - filled / cells < 0.35

    @settings(deadline=None, max_examples=5)
    @given(batch=st.integers(0, 40), epoch=st.integers(0, 1))
    def test_a_stream_may_start_at_any_batch(self, prepared: Path, batch: int, epoch: int) -> None:
        resumed = batches(prepared, 4, start_epoch=epoch, start_batch=batch, sampling_alpha=ALPHA)
        assert same(beginning(prepared, epoch)[batch : batch + 4], resumed)

    @pytest.mark.parametrize("hosts", [3, pytest.param(2, marks=pytest.mark.slow)])
    def test_machines_draw_the_same_rows_as_one_machine(self, prepared: Path, hosts: int) -> None:
        options = OPTIONS | {"window_pairs": 6400, "sampling_alpha": ALPHA}
        assert_machines_read_in_turn(prepared, hosts, batches=10, **options)

    def test_each_epoch_and_each_seed_draw_new_segmentations(self, prepared: Path) -> None:
        def sources(**options: Any) -> set[tuple[int, ...]]:
            epoch = epoch_of(prepared, sampling_alpha=0.1, **options)
            return {tuple(real(row)) for inputs, _ in epoch for row in inputs["source"] if len(real(row)) > 12}

        first = sources()
        assert len(first & sources(start_epoch=1)) < len(first) / 10
        assert len(first & sources(seed=6)) < len(first) / 10

    def test_a_negative_alpha_is_refused(self, prepared: Path) -> None:
        with pytest.raises(DataError, match=r"sampling_alpha must not be negative, got -0\.1"):
            batches(prepared, 1, sampling_alpha=-0.1)
