import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.app.decoding.text.long_input import CutTables, cut_tables, split_long

PIECES = ["<pad>", "<unk>", "<s>", "</s>", "▁a", "▁b", ".", "x", "。", '."']
A, B, DOT, X, FULL_STOP, QUOTED_DOT = range(4, 10)
TABLES = cut_tables(PIECES)

rows_of_tokens = st.lists(st.lists(st.integers(A, QUOTED_DOT), max_size=40), max_size=5)


def split(rows: list[list[int]], limit: int) -> tuple[list[list[int]], list[int]]:
    tokens = tf.ragged.constant(rows, tf.int32, ragged_rank=1)
    pieces, owner = split_long(tokens, limit, TABLES)
    return pieces.to_list(), owner.numpy().tolist()


@settings(max_examples=100, deadline=None)
@given(rows=rows_of_tokens, limit=st.integers(1, 12))
def test_the_pieces_concatenate_to_the_row_and_are_within_the_limit(rows: list[list[int]], limit: int) -> None:
    pieces, owner = split(rows, limit)
    joined: list[list[int]] = [[] for _ in rows]
    for piece, row in zip(pieces, owner, strict=True):
        joined[row] += piece
    assert joined == rows
    assert owner == sorted(owner)
    assert all(len(piece) <= limit for piece in pieces)


@settings(max_examples=50, deadline=None)
@given(rows=rows_of_tokens)
def test_rows_within_the_limit_are_untouched_and_empty_rows_keep_one_piece(rows: list[list[int]]) -> None:
    assert split(rows, 40) == (rows, list(range(len(rows))))


@settings(max_examples=50, deadline=None)
@given(rows=rows_of_tokens, limit=st.integers(1, 12))
def test_a_split_row_has_no_empty_piece(rows: list[list[int]], limit: int) -> None:
    pieces, owner = split(rows, limit)
    for row, tokens in enumerate(rows):
        own = [p for p, o in zip(pieces, owner, strict=True) if o == row]
        assert own == [[]] if not tokens else all(own)


def test_the_worked_example_holds() -> None:
    pieces, owner = split([[A, DOT, B, X, B, X, X], [A, B], []], 4)
    assert pieces == [[A, DOT], [B, X], [B, X, X], [A, B], []]
    assert owner == [0, 0, 0, 1, 2]


@pytest.mark.parametrize(
    ("row", "first"),
    [
        ([A, B, DOT, A, B, A, B], [A, B, DOT]),  # the last sentence end, though later words fit
        ([A, DOT, B, DOT, A, A, A], [A, DOT, B, DOT]),
        ([A, B, QUOTED_DOT, A, B, A, B], [A, B, QUOTED_DOT]),
        ([A, B, DOT, X, X, A, B], [A, B, DOT, X, X]),  # a decimal point does not end a sentence
        ([A, X, FULL_STOP, X, X, X, X], [A, X, FULL_STOP]),  # needs no space after it
        ([A, DOT, B, X, X, A, B], [A, DOT, B, X, X]),  # a late word boundary rather than a tiny piece
        ([A, B, X, X, X, X, X], [A]),  # a boundary in the first half, if there is no other
        ([A, X, X, X, X, X, X], [A, X, X, X, X]),  # a word longer than the limit
    ],
)
def test_a_row_is_cut_at_the_best_place(row: list[int], first: list[int]) -> None:
    assert split([row], 5)[0][0] == first


def test_a_language_code_is_repeated_in_each_piece_and_does_not_count() -> None:
    tables, code = cut_tables([*PIECES, ">>fra<<"]), len(PIECES)
    rows = [[code, A, DOT, B, X, B, X, X], [A, DOT, B, X, B, code, X], [code, A, B], []]
    pieces, owner = split_long(tf.ragged.constant(rows, tf.int32), 4, tables)
    first = [[code, A, DOT], [code, B, X], [code, B, X, X]]
    second = [[A, DOT], [B, X, B], [code, X]]  # within a text it is text
    assert pieces.to_list() == [*first, *second, [code, A, B], []]
    assert owner.numpy().tolist() == [0, 0, 0, 1, 1, 1, 2, 3]


def test_the_tables_mark_word_starts_and_sentence_ends() -> None:
    pieces = ["▁Ja", "nein", "▁", "!", "▁…", '."', ".)", "?»", "。」", "3.1", "”"]
    tables = cut_tables(pieces)
    assert [p for p, t in zip(pieces, tables.starts_word, strict=True) if t] == ["▁Ja", "▁", "▁…"]
    ends = [p for p, t in zip(pieces, tables.ends_sentence, strict=True) if t]
    assert ends == ["!", "▁…", '."', ".)", "?»"]
    assert [p for p, t in zip(pieces, tables.ends_unspaced_sentence, strict=True) if t] == ["。」"]


def test_the_tags_of_a_row_are_repeated_in_each_piece_and_a_row_of_tags_is_empty() -> None:
    tables, space = cut_tables([*PIECES, "▁", "<2fr>", "<news>"]), len(PIECES)
    fr, news = space + 1, space + 2
    rows = [[space, fr, space, news, A, DOT, B, X, B, X, X], [space, fr, space, A], [space, fr], [space, A, space, fr]]
    pieces, owner = split_long(tf.ragged.constant(rows, tf.int32), 4, tables)
    tags = [space, fr, space, news]
    assert pieces.to_list() == [
        *([*tags, A, DOT], [*tags, B, X], [*tags, B, X, X]),
        *([space, fr, space, A], [], [space, A, space, fr]),
    ]
    assert owner.numpy().tolist() == [0, 0, 0, 1, 2, 3]


def test_the_tables_mark_language_codes_as_tags_and_words() -> None:
    tables = cut_tables([">>fra<<", ">>", "<<", ">><<", "▁>>fra<<", ">>zh_Hans<<"])
    assert tables.tags.is_tag.tolist() == [True, False, False, False, False, True]
    assert tables.starts_word.tolist() == [True, False, False, False, True, True]


def test_it_runs_in_a_graph_with_unknown_shapes() -> None:
    signature = [tf.RaggedTensorSpec([None, None], tf.int32), tf.TensorSpec([], tf.int32)]
    traced = tf.function(lambda tokens, limit: split_long(tokens, limit, CutTables(*TABLES)), signature)
    for rows in ([[A, B, A, B]], [[A], []], []):
        tokens = tf.ragged.constant(rows, tf.int32, ragged_rank=1)
        pieces, owner = traced(tokens, tf.constant(2))
        assert (pieces.to_list(), owner.numpy().tolist()) == split(rows, 2)
