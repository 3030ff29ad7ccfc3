"""Words and letters are counted in any script, so that good translations have similar counts."""

# ruff: noqa: RUF001

import pytest

from keras_nmt.pipelines.cleaning.filters import is_too_long, length_ratio
from keras_nmt.pipelines.cleaning.word_counts import count_words, share_of_letters

ENGLISH = "All human beings are born free and equal in dignity and rights and should act in a spirit of brotherhood."
UNSPACED = {
    "zh": "人人生而自由，在尊严和权利上一律平等，并应以兄弟关系的精神相对待。",
    "ja": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "th": "มนุษย์ทั้งปวงเกิดมามีอิสระและเสมอภาคกันในศักดิ์ศรีและสิทธิ ควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ",
    "lo": "ມະນຸດທຸກຄົນເກີດມາມີສິດເສລີພາບ ແລະ ສະເໝີໜ້າກັນໃນທາງກຽດສັກສີ ແລະ ສິດ ຄວນປະພຶດຕໍ່ກັນໃນທາງພີ່ນ້ອງ",
    "km": "មនុស្សទាំងអស់កើតមកមានសេរីភាព និងភាពស្មើៗគ្នាក្នុងសិទ្ធិ និងសេចក្ដីថ្លៃថ្នូរ ហើយគប្បីប្រព្រឹត្តចំពោះគ្នាក្នុងស្មារតីរាប់អានគ្នាជាបងប្អូន",
    "my": "လူတိုင်းသည် တူညီလွတ်လပ်သော ဂုဏ်သိက္ခာဖြင့်လည်းကောင်း၊ တူညီလွတ်လပ်သော အခွင့်အရေးများဖြင့်လည်းကောင်း မွေးဖွားလာသူများဖြစ်သည်",
    "bo": "འགྲོ་བ་མིའི་རིགས་རྒྱུད་ཡོངས་ལ་སྐྱེས་ཙམ་ཉིད་ནས་ཆེ་མཐོངས་དང་ཐོབ་ཐངགི་རང་དབང་འདྲ་མཉམ་དུ་ཡོད་ལ་ཁོང་ཚོར་རང་བྱུང་གི་བློ་རྩལ་ཡོད",
    "jv": "ꦱꦧꦼꦤ꧀ꦲꦸꦮꦺꦴꦁꦏꦭꦲꦶꦂꦫꦏꦺꦏꦤ꧀ꦛꦶꦩꦂꦢꦶꦏꦭꦤ꧀ꦢꦂꦧꦺꦩꦂꦠꦧꦠ꧀ꦭꦤ꧀ꦲꦏ꧀ꦲꦏ꧀ꦏꦁꦥꦝ꧉ꦏꦧꦺꦃꦥꦶꦤꦫꦶꦁꦔꦤ꧀ꦲꦏꦭ꧀ꦭꦤ꧀ꦏꦭ꧀ꦧꦸ",
}


@pytest.mark.parametrize("language", UNSPACED)
def test_a_translation_in_a_script_without_spaces_has_about_as_many_words_as_english(language: str) -> None:
    assert 0.4 < count_words(UNSPACED[language]) / count_words(ENGLISH) < 1.8
    assert length_ratio(ENGLISH, UNSPACED[language]) < 2
    assert not is_too_long(UNSPACED[language], 40)


@pytest.mark.parametrize("language", UNSPACED)
def test_a_quarter_of_a_translation_is_too_short_in_any_script(language: str) -> None:
    text = UNSPACED[language] * 4
    assert length_ratio(text, UNSPACED[language][: len(UNSPACED[language]) // 2]) > 3


@pytest.mark.parametrize(("text", "words"), [
    ("我们明天去北京", 4),
    ("我们 明天 去 北京", 4),  # words already separated
    ("使用Python语言", 3),
    ("ใช้ Python ใน 2018", 4),
    ("\u0eab\u0ea5\u0eb1\u0e81\u200b\u0eaa\u0eb9\u0e94", 2),  # a zero-width space between two Lao words
    ("ሁሉም፡ሰው፡ነጻ፡ነው", 4),
    ("올해는 비가 많이 왔다", 4),
    ("यह बैठक हुई", 3),
    ("", 1),
])  # fmt: skip
def test_words_are_counted_by_spaces_or_by_letters_whichever_gives_more(text: str, words: int) -> None:
    assert count_words(text) == words


@pytest.mark.parametrize(("text", "share"), [
    ("2018年10月7日", 6 / 13),  # an ideograph counts as two letters
    ("बैठक हुई", 1.0),  # marks belong to letters
    ("བོད་སྐད་", 1.0),  # so does the separator of Tibetan syllables
    ("می\u200cخواهم", 1.0),
    ("\u200f123 אב\u200e", 0.4),
    ("١٢٣", 0.0),
    ("😀👩\u200d👩\u200d👧", 0.0),
    ("\u0301\u0302\u0303", 0.0),
    ("\u200b\u200f", 0.0),
])  # fmt: skip
def test_letters_are_recognised_in_any_script(text: str, share: float) -> None:
    assert share_of_letters(text) == pytest.approx(share)
