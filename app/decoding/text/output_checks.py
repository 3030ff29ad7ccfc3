"""Finds suspicious translations in any language, in a TensorFlow graph.

A warning does not prove an error: it is right to copy a sentence of names, or to spell out a number.
"""

import tensorflow as tf

from keras_nmt.pipelines.vocabulary.tokenizer import PAD

WARNINGS = ("copied", "repetition", "length", "numbers", "links", "empty")

COPIED_WORDS, COPIED_SHARE = 4, 0.8  # sources with fewer words are often names
LONGEST_PERIOD = 10  # tokens of a repeated sequence
TIMES_LONGER, TOKENS_LONGER = 3, 10  # a side is too long if it exceeds both limits
TIMES_SHORTER, TOKENS_SHORTER = 2, 10  # limits for a short translation; about one in 300 good ones exceeds them
HASHES = 2**40


def find_warnings(
    sources: tf.Tensor, source_tokens: tf.Tensor, translations: tf.Tensor, tokens: tf.Tensor
) -> tf.Tensor:
    """Checks H translations of each of B texts.

    - copied: at least four fifths of the translation's tokens also occur in the source, which has at least four words.
    - repetition: in the translation, a sequence of up to ten tokens occurs at least three times in a row, and all
      occurrences together have at least six tokens. The source has no such repetition.
    - length: one side has more than three times as many tokens as the other side, and the difference is more than ten
      tokens. Or the source has more than twice as many tokens as the translation, and the difference is at least ten
      tokens.
    - numbers: the numbers with several digits differ, or both sides have equally many one-digit numbers and the
      one-digit numbers differ. Different counts of one-digit numbers cause no warning, since one-digit numbers are
      often spelt out.
    - links: the web or mail addresses differ.
    - empty: the translation has no text, but the source has.

    Args:
        sources: string [B].
        source_tokens: int32 [B, S], padded with PAD.
        translations: string [B, H].
        tokens: int32 [B, H, T], padded with PAD.

    Returns:
        bool [B, H, F], in the order of `WARNINGS`.
    """

    def of_source(values: tf.Tensor) -> tf.Tensor:
        return values[:, tf.newaxis]

    lengths, source_lengths = (tf.math.count_nonzero(ids != PAD, axis=-1) for ids in (tokens, source_tokens))
    words = tf.strings.split(sources).row_lengths()
    is_copy = tf.reduce_any(tokens[..., tf.newaxis] == source_tokens[:, tf.newaxis, tf.newaxis], axis=3)
    copies = tf.math.count_nonzero(is_copy & (tokens != PAD), axis=2)
    copied = tf.cast(copies, tf.float32) >= COPIED_SHARE * tf.cast(lengths, tf.float32)
    longer = tf.maximum(lengths, of_source(source_lengths))
    shorter = tf.minimum(lengths, of_source(source_lengths))
    is_short = (of_source(source_lengths) > TIMES_SHORTER * lengths) & (
        of_source(source_lengths) >= lengths + TOKENS_SHORTER
    )
    repeated = has_loop(tf.reshape(tokens, [-1, tf.shape(tokens)[2]]))
    checks = {
        "copied": copied & of_source(words >= COPIED_WORDS) & (lengths > 0),
        "repetition": tf.reshape(repeated, tf.shape(lengths)) & ~of_source(has_loop(source_tokens)),
        "length": (longer > TIMES_LONGER * shorter) & (longer > shorter + TOKENS_LONGER) | is_short,
        "numbers": _numbers_differ(sources, translations),
        "links": of_source(_links(sources)) != _links(translations),
        "empty": (tf.strings.strip(translations) == "") & of_source(tf.strings.strip(sources) != ""),
    }
    return tf.stack([checks[name] for name in WARNINGS], axis=2)


def spell_warnings(warnings: tf.Tensor) -> tf.Tensor:
    """Converts warnings, bool [N, H, F], to their names joined by commas: string [N, H]."""
    flat = tf.reshape(warnings, [-1, len(WARNINGS)])
    names = tf.ragged.boolean_mask(tf.broadcast_to(tf.constant(WARNINGS), tf.shape(flat)), flat)
    return tf.reshape(tf.strings.reduce_join(names, axis=1, separator=","), tf.shape(warnings)[:2])


@tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
def has_loop(tokens: tf.Tensor) -> tf.Tensor:
    """Returns True for rows of `tokens`, [N, T], that contain a repetition as `find_warnings` defines it: bool [N]."""
    found = tf.zeros(tf.shape(tokens)[:1], tf.bool)
    for period in range(1, LONGEST_PERIOD + 1):
        same = (tokens[:, period:] == tokens[:, :-period]) & (tokens[:, period:] != PAD)
        wanted = wanted_repeats(period)
        ends = tf.cumsum(tf.cast(same, tf.int32), axis=1)
        starts = tf.concat([tf.zeros_like(ends[:, :1]), ends], axis=1)[:, :-wanted]
        found |= tf.reduce_any(ends[:, wanted - 1 :] - starts == wanted, axis=1)
    return found


def wanted_repeats(period: int) -> int:
    """Returns how many successive tokens of a repetition must equal the token `period` positions before them.

    With this number, a sequence of `period` tokens occurs at least three times in a row, and all occurrences together
    have at least six tokens.
    """
    return max(2 * period, 6 - period)


def _numbers_differ(sources: tf.Tensor, translations: tf.Tensor) -> tf.Tensor:
    """Returns True if the numbers in sources, string [B], and translations, string [B, H], differ: bool [B, H]."""
    (long, short, shorts), (its_long, its_short, its_shorts) = map(_numbers, (sources, translations))
    as_many = shorts[:, tf.newaxis] == its_shorts
    return (long[:, tf.newaxis] != its_long) | (as_many & (short[:, tf.newaxis] != its_short))


def _numbers(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Hashes the numbers of each text.

    Returns:
        A hash of the numbers with several digits, a hash of the one-digit numbers, and the count of the one-digit
        numbers; all three are int64 in the shape of `texts`.
    """
    separated = r"([0-9])[.,'\x{2019}\x{a0}\x{202f}]([0-9]{3})\b"  # 1,000,000 in any style
    joined = tf.strings.regex_replace(tf.strings.regex_replace(texts, separated, r"\1\2"), separated, r"\1\2")
    digits = tf.strings.split(tf.reshape(tf.strings.regex_replace(joined, "[^0-9]+", " "), [-1]))
    is_short = tf.strings.length(digits.values) == 1
    found = _hash(digits, ~is_short), _hash(digits, is_short), _summed(digits, tf.cast(is_short, tf.int64))
    long, short, shorts = (tf.reshape(values, tf.shape(texts)) for values in found)
    return long, short, shorts


def _links(texts: tf.Tensor) -> tf.Tensor:
    """Hashes the web and mail addresses of each text: int64 in the shape of `texts`."""
    words = tf.strings.split(tf.reshape(texts, [-1]))
    trimmed = tf.strings.regex_replace(words.values, r"^[\pP]+|[\pP/]+$", "")
    is_link = tf.strings.regex_full_match(trimmed, r"(?i)(https?://|www\.)\S+|[^@\s]+@[^@\s]+\.[^@\s]+")
    return tf.reshape(_hash(words.with_values(trimmed), is_link), tf.shape(texts))


def _hash(strings: tf.RaggedTensor, counts: tf.Tensor) -> tf.Tensor:
    """Hashes the strings of each row, [R, (n)], regardless of their order: int64 [R].

    `counts` (bool) has one value for each string. A string is hashed only if its value in `counts` is True.
    """
    hashes = tf.strings.to_hash_bucket_fast(strings.values, HASHES)
    return _summed(strings, tf.where(counts, hashes, 0))


def _summed(rows: tf.RaggedTensor, values: tf.Tensor) -> tf.Tensor:
    """Sums `values` over each row of `rows`, [R, (n)]: [R].

    `values` has one value for each entry of `rows`. A ragged sum would need fifty more operations.
    """
    return tf.math.unsorted_segment_sum(values, rows.value_rowids(), rows.nrows())
