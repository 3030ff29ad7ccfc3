import numpy as np
import tensorflow as tf

from keras_nmt.app.decoding.text.joining import join_pieces


def test_joining_puts_a_space_between_texts_and_skips_empty_ones() -> None:
    texts = tf.constant(["Ja.", "", "Nein.", "", "Ü"])
    joined = join_pieces(texts, tf.constant([0, 0, 0, 1, 2]), 4)
    assert [t.decode() for t in joined.numpy()] == ["Ja. Nein.", "", "Ü", ""]
    np.testing.assert_array_equal(join_pieces(texts[:0], tf.zeros([0], tf.int32), 0), np.zeros(0, object))


def test_joining_puts_no_space_after_chinese_or_japanese() -> None:
    texts = tf.constant(["好。", "「いいえ」", "", "OK.", "好。", "Ja."])
    joined = join_pieces(texts, tf.constant([0, 0, 0, 0, 0, 1]), 2)
    assert [t.decode() for t in joined.numpy()] == ["好。「いいえ」OK. 好。", "Ja."]
