"""Translation memories: languages, inline elements, and untrusted documents."""

import gzip
import resource
from pathlib import Path

import pytest

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.corpora import LanguagePair, RawPair, open_corpus

EN_DE = LanguagePair("en", "de")


def document(*units: str, head: str = "") -> str:
    return f'<?xml version="1.0"?>{head}<tmx version="1.4"><header/><body>{"".join(units)}</body></tmx>'


def unit(attribute: str = "xml:lang", **segments: str) -> str:
    variants = (
        f'<tuv {attribute}="{language.replace("_", "-")}"><prop type="x">no text</prop><seg>{text}</seg></tuv>'
        for language, text in segments.items()
    )
    return f"<tu>{''.join(variants)}</tu>"


def read(folder: Path, text: str, pair: LanguagePair = EN_DE) -> list[tuple[str, str]]:
    (folder / "a.tmx").write_text(text, encoding="utf-8")
    return [(raw.source.decode(), raw.target.decode()) for raw in open_corpus(f"tmx:{folder / 'a.tmx'}", pair)]


def test_units_are_read_in_the_direction_of_the_pair(tmp_path: Path) -> None:
    text = document(unit(en="one", de="eins"), unit(de="zwei", en="two", fr="deux"))
    assert read(tmp_path, text) == [("one", "eins"), ("two", "zwei")]
    assert read(tmp_path, text, LanguagePair("de", "en")) == [("eins", "one"), ("zwei", "two")]
    assert read(tmp_path, text, LanguagePair("fr", "en")) == [("deux", "two")]


def test_case_and_the_older_attribute_do_not_matter(tmp_path: Path) -> None:
    assert read(tmp_path, document(unit("lang", EN="one", De="eins"))) == [("one", "eins")]


@pytest.mark.parametrize(
    ("wanted", "there", "found"),
    [
        ("en", ("en_US",), "en_US"),
        ("en_GB", ("en",), "en"),
        ("en", ("en_US", "en"), "en"),
        ("en", ("en_GB", "en_US"), "en_GB"),
        ("en_GB", ("en_US",), None),
        ("pt", ("en",), None),
    ],
)
def test_a_language_is_found_with_or_without_its_region(
    tmp_path: Path, wanted: str, there: tuple[str, ...], found: str | None
) -> None:
    text = document(unit(de="x", **{name: name for name in there}), unit(de="y", **{wanted: "exact"}))
    assert read(tmp_path, text, LanguagePair(wanted, "de")) == [*([(found, "x")] if found else []), ("exact", "y")]


@pytest.mark.parametrize(
    ("segment", "text"),
    [
        ("a <hi>bold</hi> word", "a bold word"),
        ('<bpt i="1">&lt;b&gt;</bpt>bold<ept i="1">&lt;/b&gt;</ept>.', "bold."),
        ('one<ph x="1">&lt;br/&gt;</ph> two<it pos="begin">{\\i</it> three<ut>code</ut>', "one two three"),
        ("See<ph>\\footnote{<sub>a note</sub>}</ph> here", "See a note here"),
        ("<bpt i='1'>a<sub>title <hi>of <ph>x</ph>it</hi></sub>b</bpt>", "title of it"),
        ("a<!-- comment -->b<?pi x?>c", "abc"),
        ("\n   two\n   lines\t", "two lines"),
        ("x &amp; &#228; &lt;y&gt;", "x & ä <y>"),
        ("no\u00a0break", "no\u00a0break"),
        ("", ""),
    ],
)
def test_the_text_is_kept_and_codes_are_dropped(tmp_path: Path, segment: str, text: str) -> None:
    assert read(tmp_path, document(unit(en=segment, de="x"))) == [(text, "x")]


def test_a_namespace_a_doctype_and_another_encoding_do_not_matter(tmp_path: Path) -> None:
    text = document(unit(en="one", de="größer")).replace("<tmx ", '<tmx xmlns="http://www.lisa.org/tmx14" ')
    text = text.replace('<?xml version="1.0"?>', '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE tmx SYSTEM "t.dtd">')
    (tmp_path / "a.tmx.gz").write_bytes(gzip.compress(text.encode("utf-16")))
    assert list(open_corpus(f"tmx:{tmp_path / 'a.tmx.gz'}", EN_DE)) == [RawPair(b"one", "größer".encode())]


def test_named_entities_are_decoded_and_unknown_ones_reported_with_their_line(tmp_path: Path) -> None:
    head = '<!DOCTYPE tmx SYSTEM "tmx14.dtd">'
    text = document(unit(en="The caf&eacute; &amp; Z&uuml;rich", de="<bpt>&eacute;</bpt>Caf&eacute;"), head=head)
    assert read(tmp_path, text) == [("The café & Zürich", "Café")]
    with pytest.raises(DataError, match=r"a\.tmx has an undefined entity \(&ours;, line 2\); write it out"):
        read(tmp_path, document("\n", unit(en="of &ours;", de="x"), head=head))
    with pytest.raises(DataError, match=r"is not well-formed TMX \(Entity 'eacute' not defined, line 3\); repair it"):
        read(tmp_path, document("\n", unit(en="one", de="eins"), "\n", unit(en="caf&eacute;", de="x")))


@pytest.mark.parametrize("place", ["text", "attribute"])
def test_an_entity_bomb_is_refused(tmp_path: Path, place: str) -> None:
    levels = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    head = f'<!DOCTYPE tmx [<!ENTITY a0 "boom">{levels}]>'
    segment = "&a11;" if place == "text" else '<hi type="&a11;">x</hi>'
    with pytest.raises(DataError, match=r"a\.tmx (defines entities of its own|is not well-formed TMX)"):
        read(tmp_path, document(unit(en=segment, de="x"), head=head))


def test_no_entity_reads_another_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    head = f'<!DOCTYPE tmx [<!ENTITY file SYSTEM "{tmp_path / "secret"}">]>'
    with pytest.raises(DataError, match="defines entities of its own, which may expand without limit; write them o"):
        read(tmp_path, document(unit(en="&file;", de="x"), head=head))


def test_a_truncated_document_yields_its_complete_units_and_is_reported(tmp_path: Path) -> None:
    units = [unit(en=f"one {i}", de=f"eins {i}") for i in range(2000)]
    (tmp_path / "a.tmx").write_text(document(*units)[:-300], encoding="utf-8")
    pairs = iter(open_corpus(f"tmx:{tmp_path / 'a.tmx'}", EN_DE))
    assert next(pairs) == RawPair(b"one 0", b"eins 0")
    with pytest.raises(DataError, match=r"a\.tmx is not well-formed TMX \(.*\); repair it or fetch it again"):
        list(pairs)


def test_a_truncated_compressed_document_is_reported(tmp_path: Path) -> None:
    whole = gzip.compress(document(*(unit(en=f"one {i}", de=f"eins {i}") for i in range(2000))).encode())
    (tmp_path / "a.tmx.gz").write_bytes(whole[:-300])
    with pytest.raises(DataError, match=r"a\.tmx\.gz is damaged or cut short \(.*\); fetch it again"):
        list(open_corpus(f"tmx:{tmp_path / 'a.tmx.gz'}", EN_DE))


def test_a_document_without_the_languages_is_reported_with_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no unit in both en and de; its languages are: en-US, fr"):
        read(tmp_path, document(unit(en_US="one", fr="un")))


def test_a_document_without_units_is_an_empty_corpus(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.tmx is empty: expected at least one sentence pair"):
        read(tmp_path, document())


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    text = document(*(unit(en=f"one {i} " * 100, de=f"eins {i} " * 100) for i in range(5000)))
    (tmp_path / "a.tmx").write_text(text, encoding="utf-8")
    pairs = iter(open_corpus(f"tmx:{tmp_path / 'a.tmx'}", EN_DE))
    next(pairs)
    before = resident_bytes()
    growth = [resident_bytes() - before for number, _ in enumerate(pairs) if number % 500 == 498]
    assert len(growth) == 10
    assert max(growth) < 2_000_000 < len(text) / 4


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
