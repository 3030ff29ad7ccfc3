"""Cutting texts into sentences, and splitting off copied parts; Python and the graph agree."""

# ruff: noqa: RUF001  # the marks of many scripts are what this is about

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.app.decoding.text.sentences import (
    Parts,
    cut_sentences,
    is_followed_by_space,
    is_followed_by_space_in_python,
    joined,
    joined_outside,
    split_copied,
    split_copied_outside,
    stretches_in_python,
)

TEXTS = tf.TensorSpec([None], tf.string)
traced_cut = tf.function(cut_sentences, input_signature=[TEXTS], autograph=False)
traced_split = tf.function(split_copied, input_signature=[TEXTS], autograph=False)
PARTS = (
    *("Dr.", "No.", "5", "12.", "3.5", "U.S.", "e.g.", "He", "rest", "Tom", "I", "etc.", "der", "2.", "Weltkrieg"),
    *("?", "!", "...", "…", '"', "“", "”", "(", ")", "»", "«", "-", "\n", "\u2028", "\u00a0", "\u3000", "  ", ".", ":"),
    *("今天。", "。", "「行く。」", "と", "है।", "؟", "كيف", "Բարեւ։", "ሰላም።", "ნახე", "Πού;", "😀", "1️⃣", "a@b.de"),
    *(
        "https://a.example/b?c=1.",
        "①",
        "#",
        "1)",
        "(b)",
        "II.",
        "ǅ",
        "\u0301",
        "\ufdd0",
        "\x02",
        "Ж.",
        "й.",
        "ß.",
        "x.",
    ),
)
in_parts = st.lists(st.sampled_from([*PARTS, " ", " ", " "]), max_size=14).map("".join)
texts = in_parts | st.text(st.characters(max_codepoint=0x52F), max_size=20)


def in_graph(text: str) -> list[str]:
    return [sentence.decode() for sentence in traced_cut(tf.constant([text])).sentences[0].numpy()]


def outside(text: str) -> list[str]:
    return [stretch.text for stretch in stretches_in_python(text)] or [""]


@pytest.mark.parametrize(
    "sentences",
    [
        ["Let Tom finish what he started.", "It's too dark here!", "Is Mary here?", "He sat down.", "He was dead."],
        ["Dr. Smith met Mr. and Mrs. Who at St. Mary's, e.g. on Jan. 3.", "It was 3.5 m away."],
        ["The U.S. Army came.", "He lives in the U.S.", "He likes it.", "At 5 p.m.", "She left."],
        ["Apple Inc. sued J. R. R. Tolkien Ltd. and others, etc. and so on.", "So did I.", "They won."],
        ["I am 25.", "I live in Boston.", "No. 5 is alive.", "I rest no.", "He left."],
        ['"Why?" he asked.', '"I see."', "(He left.)", "Then she rest: “No!”", "And … then?"],
        ["Nice!", "😀 Thanks.", "OK."],
        ["1. The dog sleeps.", "2. The cat sleeps.", "a) The mouse."],
        ["hello there.", "how are you?", "i am fine, mr. smith."],
        ["HELLO.", "HOW ARE YOU?"],
        ["See https://example.com/a?b=1.", "Write to tom@example.com."],
        ["A title\n", "Another one\r\n \n", "---\n", "The end"],
        ["Am 3. Oktober 1990 endete der 2. Weltkrieg z. B. für Hrn. Meier, d. h. nicht.", "Ich bin 25.", "Ich bin da."],
        ["« Oui. »", "M. Dupont et Mme. Durand partirent.", "Quoi ?", "Non !"],
        ["El Sr. García y la Dra. López llegaron.", "¿Qué tal?", "¡Bien!"],
        ["В 2020 г. Москва, ул. Ленина.", "Проф. А. С. Иванов здесь.", "Это он."],
        ["今天天气很好。", "我们去公园吧！", "“你好。”他说。", "“不。”", "“好！”"],
        ["「行く。」と彼は言った。", "そうですか？", "はい。"],
        ["यह है।", "वह गया।", "वह 3.5 मीटर है॥", "क्या?"],
        ["كيف حالك؟", "أنا بخير.", "وہ گیا۔", "وہ آیا!"],
        ["Բարեւ։", "Ինչպե՞ս ես։", "Լավ:"],
        ["ሰላም።", "እንዴት ነህ፧", "ደህና።"],
        ["გამარჯობა.", "როგორ ხარ?", "კარგად."],
        ["Πού είσαι;", "Είμαι εδώ."],
        ["ငါသွားသည်။", "သူလာသည်။"],
        ["សួស្តី។", "ខ្ញុំទៅ៕"],
        ["ในประเทศไทย มีคนมาก"],
    ],
)
def test_a_text_is_cut_into_sentences_in_any_script(sentences: list[str]) -> None:
    found = in_graph(" ".join(sentences))
    assert found == [sentence.strip() for sentence in sentences]
    assert outside(" ".join(sentences)) == found


@pytest.mark.parametrize(
    "sentences",
    [
        ["今天天气很好。", "我们去公园吧！", "“你好。”他说。", "“不。”", "“好！”"],
        ["「行く。」と彼は言った。", "そうですか？", "はい。", "『ええ。』"],
        ["यह है।", "वह गया।"],
        ["ሰላም።", "እንዴት ነህ፧", "ደህና።"],
        ["ငါသွားသည်။", "သူလာသည်။"],
        ["សួស្តី។", "ខ្ញុំទៅ៕"],
    ],
)
def test_sentences_without_spaces_between_are_cut(sentences: list[str]) -> None:
    assert in_graph("".join(sentences)) == outside("".join(sentences)) == sentences


@settings(max_examples=100, deadline=None)
@given(text=texts)
def test_python_and_the_graph_cut_and_split_alike(text: str) -> None:
    found = in_graph(text)
    assert outside(text) == found
    graph = traced_split(tf.constant(found))
    copied, rest = ([one.decode() for one in side.numpy()] for side in graph)
    assert [split_copied_outside(sentence) for sentence in found] == [*map(Parts, copied, rest)]


@settings(max_examples=300, deadline=None)
@given(text=texts)
def test_sentences_are_not_cut_again_and_stretches_concatenate_to_the_text(text: str) -> None:
    stretches = stretches_in_python(text)
    for stretch in stretches:
        assert outside(stretch.text) == [stretch.text]
    marks = dict.fromkeys(map(ord, "\ufdd0\ufdd1\ufdd2"))
    assert "".join("".join(stretch) for stretch in stretches) == text.translate(marks)


def test_sentences_with_a_space_before_them_are_marked() -> None:
    cut = traced_cut(tf.constant(["Yes. No.\nOh.", "", "好。不。 是。", "  A"]))
    assert cut.sentences.row_lengths().numpy().tolist() == [3, 1, 3, 1]
    assert cut.is_spaced.numpy().tolist() == [True, True, True, True, True, False, True, True]
    assert traced_cut(tf.constant([], tf.string)).sentences.to_list() == []


@pytest.mark.parametrize(
    ("sentence", "copied", "rest"),
    [
        ("The dog sleeps.", "", "The dog sleeps."),
        ("1. The dog sleeps.", "1.", "The dog sleeps."),
        ("12) the dog", "12)", "the dog"),
        ("(3) The dog", "(3)", "The dog"),
        ("[4] The dog", "[4]", "The dog"),
        ("1.2.3 Dogs", "1.2.3", "Dogs"),
        ("b) Dogs", "b)", "Dogs"),
        ("IV. Dogs", "IV.", "Dogs"),
        ("- 2.\u00a0Dogs", "- 2.", "Dogs"),
        ("• Dogs", "•", "Dogs"),
        ("② Dogs", "②", "Dogs"),
        ("१. कुत्ता", "१.", "कुत्ता"),
        ("## Dogs", "##", "Dogs"),
        ("3 dogs", "", "3 dogs"),
        ("3.5 million dogs", "", "3.5 million dogs"),
        ("I. Newton", "", "I. Newton"),
        ("3. Oktober 1990", "", "3. Oktober 1990"),
        ("1990. Dogs", "", "1990. Dogs"),
        *(
            (text, text, "")
            for text in ("123", "3.14", "---", "***", "😀", "🌷🌷🌷 🌷", "(", "1️⃣", "٣٫٥", "10:30 – 12", "1. 2.", "½ €")
        ),
        *(
            (text, text, "")
            for text in ("https://example.com/a?b=1", "<tom@example.com>.", "www.a.example, b.example/c", "@tom")
        ),
        ("1. https://a.example", "1. https://a.example", ""),
        ("see https://a.example", "", "see https://a.example"),
        ("メールはtom@example.comまで", "", "メールはtom@example.comまで"),
        ("e.g.", "", "e.g."),
        ("", "", ""),
    ],
)
def test_sentences_without_words_and_numbers_of_lists_are_copied(sentence: str, copied: str, rest: str) -> None:
    assert split_copied_outside(sentence) == (copied, rest)
    assert [part.numpy()[0].decode() for part in traced_split(tf.constant([sentence]))] == [copied, rest]


def test_copied_and_translated_text_are_joined_with_a_space() -> None:
    pairs = [("1.", "Der Hund"), ("---", ""), ("", "Ja."), ("", "")]
    copied, rest = (tf.constant(side) for side in zip(*pairs, strict=True))
    expected = ["1. Der Hund", "---", "Ja.", ""]
    assert [text.decode() for text in joined(copied, rest).numpy()] == expected
    assert [joined_outside(*pair) for pair in pairs] == expected


def test_no_space_follows_a_sentence_in_chinese_or_japanese() -> None:
    ends = {"Ja.": True, "好。": False, "はい": False, "「行く。」": False, "네.": True, "ใช่": True, "3": True}
    assert is_followed_by_space(tf.constant([*ends])).numpy().tolist() == [*ends.values()]
    assert [is_followed_by_space_in_python(text) for text in ends] == [*ends.values()]


@pytest.mark.parametrize(
    "text", ["." * 9000, "-" * 9000 + "x", "a." * 9000, " " * 9000 + "x", "京" * 9000, "» " * 9000]
)
def test_adversarial_texts_do_not_take_longer(text: str) -> None:
    assert (
        "".join("".join(stretch) for stretch in stretches_in_python(text)) == text
    )  # with backtracking this would take minutes
