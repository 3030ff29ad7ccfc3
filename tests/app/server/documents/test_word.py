"""Translation of Word documents of several programs: all text is translated, and the rest stays at its words."""

import copy
import io
import time
import zipfile
from typing import Any

import pytest
from docx import Document

from keras_nmt.app.server.documents.word import files as word_files
from keras_nmt.app.server.documents.word.files import (
    MAX_FILES,
    MAX_PARAGRAPHS,
    MAX_RUNS,
    MAX_UNPACKED_BYTES,
    read_word,
    write_word,
)
from keras_nmt.app.server.errors import RequestError, TooLargeError
from tests.app.server.backwards import translated_word
from tests.app.server.word_documents import STRICT, W, document, field, lines, paragraph, roots, run, shown, spoken

BOLD = "<w:b/>"
PIXEL = bytes.fromhex(  # a picture of one pixel
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)
SPLIT = 'w:rsidR="00A77B3E"'  # Word divides runs by the session in which they were edited


def from_word() -> bytes:
    """Returns a document as Word writes it."""
    separator = '<w:footnote w:type="separator" w:id="0"><w:p><w:r><w:separator/></w:r></w:p></w:footnote>'
    mark = run("<w:footnoteRef/>", "<w:vertAlign/>")
    others = {
        "header1": paragraph(run("on each page.")),
        "header2": paragraph(run("on the first page.")),
        "footer1": paragraph(run("on even pages.")),
        "footnotes": f'{separator}<w:footnote w:id="2">{paragraph(mark, run(" very old."))}</w:footnote>',
        "endnotes": f'<w:endnote w:id="2">{paragraph(run("at the end."))}</w:endnote>',
        "comments": f'<w:comment w:id="1">{paragraph(run("<w:annotationRef/>"), run("is it so?"))}</w:comment>',
    }
    return document("".join(body_from_word()), others)


def body_from_word() -> list[str]:
    """Returns the paragraphs and the table of a document as Word writes it."""
    spelling = [f'<w:proofErr w:type="{kind}"/>' for kind in ("spellStart", "spellEnd", "gramStart", "gramEnd")]
    box = paragraph(run("in the box."))
    shape = f"<wps:wsp><wps:txbx><w:txbxContent>{box}</w:txbxContent></wps:txbx></wps:wsp>"
    return [
        paragraph(run("this is the "), run("<w:lastRenderedPageBreak/><w:t>second page.</w:t>", "", SPLIT)),
        paragraph(run("we "), spelling[0], run("lve", "", SPLIT), spelling[1], run(" here."), spelling[2], spelling[3]),
        paragraph(run("we live "), run("here", '<w:lang w:val="en-GB"/><w:noProof/>'), run(".")),
        paragraph(
            run("see "),
            f'<w:hyperlink r:id="rId9">{run("our house", "<w:rStyle/>")}</w:hyperlink>',
            run(" now."),
        ),
        paragraph(run("the house"), run('<w:footnoteReference w:id="2"/>', "<w:vertAlign/>"), run(" is old.")),
        paragraph(run("<w:t>a well</w:t><w:noBreakHyphen/><w:t>known pro</w:t><w:softHyphen/><w:t>gram.</w:t>")),
        paragraph(
            f'<w:ins w:id="7">{run("we have ")}</w:ins><w:del w:id="8">{run("<w:delText>had</w:delText>")}</w:del>',
            run("it."),
        ),
        paragraph(run("all "), f'<w:smartTag w:element="place">{run("of rome")}</w:smartTag>', run(" knew.")),
        paragraph(
            run("page "),
            field("PAGE", run("3")),
            run(" of "),
            f'<w:fldSimple w:instr="NUMPAGES">{run("9")}</w:fldSimple>',
        ),
        paragraph(run("the title is "), f'<w:fldSimple w:instr="TITLE">{run("my report")}</w:fldSimple>', run(".")),
        paragraph(run("name:"), run("<w:tab/>"), run("an old house")),
        paragraph(run("<w:t>one two</w:t><w:br/><w:t>three four</w:t>"), run('<w:br w:type="page"/>')),
        paragraph(
            run(f"<mc:AlternateContent><mc:Choice><w:drawing>{shape}</w:drawing></mc:Choice></mc:AlternateContent>"),
            run("beside it."),
        ),
        paragraph(run("a smile "), run('<w:sym w:font="Wingdings" w:char="F04A"/>'), run(" for you.")),
        f"<w:tbl><w:tr><w:tc>{paragraph(run('in a table.'))}</w:tc></w:tr></w:tbl>",
    ]


def test_all_text_that_word_writes_is_translated() -> None:
    found = translated_word(from_word())
    assert lines(found) == [
        "PAGE SECOND THE IS THIS.",
        "HERE LVE WE.",
        "HERE LIVE WE.",
        "NOW HOUSE OUR SEE.",
        "OLD IS HOUSE[1] THE.",
        "PROGRAM WELL-KNOWN A.",
        "IT HAVE WE.",
        "KNEW ROME OF ALL.",
        "9 OF 3 PAGE",
        "REPORT MY IS TITLE THE.",
        "name:\tHOUSE OLD AN".replace("name", "NAME"),
        "TWO ONE\nFOUR THREE\n",
        "[drawing]BOX THE IN.IT BESIDE.",
        "BOX THE IN.",
        "YOU FOR SMILE [sym] A.",
        "TABLE A IN.",
    ]
    assert lines(found, "word/header1.xml") == ["PAGE EACH ON."]
    assert lines(found, "word/header2.xml") == ["PAGE FIRST THE ON."]
    assert lines(found, "word/footer1.xml") == ["PAGES EVEN ON."]
    assert lines(found, "word/footnotes.xml") == ["", " OLD VERY."]
    assert lines(found, "word/endnotes.xml") == ["END THE AT."]
    assert lines(found, "word/comments.xml") == ["SO IT IS?"]
    assert Document(io.BytesIO(found)).paragraphs[0].text == "PAGE SECOND THE IS THIS."


def from_libreoffice() -> bytes:
    """Returns a document as LibreOffice writes it: properties in every run, several contents in one, fields of runs."""
    plain = "<w:lang w:val='en-US'/>"
    bookmark = '<w:bookmarkStart w:id="0" w:name="__DdeLink__1"/>', '<w:bookmarkEnd w:id="0"/>'
    link = run("our house", '<w:rStyle w:val="InternetLink"/>')
    body = [
        paragraph(run("we ", plain), bookmark[0], run("live", plain), bookmark[1], run(" here.", plain)),
        paragraph(run("<w:t>one two</w:t><w:br/><w:t>three</w:t><w:tab/><w:t>four</w:t>", plain)),
        paragraph(run("see ", plain), f'<w:hyperlink r:id="rId2">{link}</w:hyperlink>', run(" now.", plain)),
        paragraph(run("see ", plain), field("HYPERLINK x", link), run(" now.", plain)),
        paragraph(run("page ", plain), field("PAGE", run("3", plain)), run(" begins.", plain)),
        paragraph(field("TOC", field("HYPERLINK y", run("the end") + run("<w:tab/>") + field("PAGEREF", run("3"))))),
        paragraph(run("<w:t>the soft</w:t><w:softHyphen/><w:t>ware</w:t>", plain)),
    ]
    notes = f'<w:footnote w:id="2">{paragraph(run("<w:footnoteRef/><w:tab/>"), run("very old."))}</w:footnote>'
    return document("".join(body), {"footnotes": notes})


def test_all_text_that_libreoffice_writes_is_translated() -> None:
    found = translated_word(from_libreoffice())
    assert lines(found) == [
        "HERE LIVE WE.",
        "TWO ONE\nTHREE\tFOUR",
        "NOW HOUSE OUR SEE.",
        "NOW HOUSE OUR SEE.",
        "BEGINS 3 PAGE.",
        "END THE\t3",
        "SOFTWARE THE",
    ]
    assert lines(found, "word/footnotes.xml") == ["\tOLD VERY."]
    first, _, linked, by_field, *_ = roots(found)["word/document.xml"].iter(f"{W}p")
    assert [(one.tag, shown(one)) for one in first[1:]] == [
        (f"{W}r", "HERE "),
        (f"{W}bookmarkStart", ""),
        (f"{W}r", "LIVE"),
        (f"{W}bookmarkEnd", ""),
        (f"{W}r", " WE."),
    ]
    assert spoken(linked) == [("NOW ", "lang"), ("HOUSE OUR", "hyperlink/rStyle"), (" SEE.", "lang")]
    characters = f"{{{W[1:-1]}}}fldCharType"
    of_field = [
        one.get(characters) or one.text or one.tag for one in by_field.iter(f"{W}fldChar", f"{W}instrText", f"{W}t")
    ]
    assert of_field == ["NOW ", "begin", " HYPERLINK x ", "separate", "HOUSE OUR", "end", " SEE."]


def from_google() -> bytes:
    """Returns a document as Google Docs exports it: with controls around everything that a suggestion changed."""
    attributes = 'w:rsidDel="00000000" w:rsidR="00000000" w:rsidRPr="00000000"'
    left = '<w:rtl w:val="0"/>'

    def control(content: str) -> str:
        tag = '<w:sdtPr><w:id w:val="1"/><w:tag w:val="goog_rdk_0"/></w:sdtPr>'
        return f"<w:sdt>{tag}<w:sdtContent>{content}</w:sdtContent></w:sdt>"

    inserted = f'<w:ins w:author="a" w:id="0">{run("very old", left, attributes)}</w:ins>'
    body = [
        paragraph(run("the house is ", left, attributes), control(inserted), run(" now.", left, attributes)),
        paragraph(
            control(f'<w:commentRangeStart w:id="0"/>{run("we live", left, attributes)}<w:commentRangeEnd w:id="0"/>'),
            run('<w:commentReference w:id="0"/>'),
            run(" here.", left, attributes),
        ),
        paragraph(f'<w:hyperlink r:id="rId7">{run("all of it", "<w:u/>" + left, attributes)}</w:hyperlink>'),
        paragraph(
            run("<w:t>one two</w:t><w:br w:type='textWrapping'/><w:t xml:space='preserve'>three four </w:t>", left)
        ),
    ]
    return document("".join(body), {"comments": f'<w:comment w:id="0">{paragraph(run("is it so?"))}</w:comment>'})


def test_all_text_that_google_docs_writes_is_translated() -> None:
    found = translated_word(from_google())
    assert lines(found) == ["NOW OLD VERY IS HOUSE THE.", "HERE LIVE WE.", "IT OF ALL", "TWO ONE\nFOUR THREE "]
    assert lines(found, "word/comments.xml") == ["SO IT IS?"]
    first, second, *_ = roots(found)["word/document.xml"].iter(f"{W}p")
    assert ("OLD VERY", "sdt/ins/rtl") in spoken(first)
    ranges = [one.tag for one in second.iter(f"{W}commentRangeStart", f"{W}commentRangeEnd", f"{W}commentReference")]
    assert ranges == [f"{W}commentRangeStart", f"{W}commentRangeEnd", f"{W}commentReference"]


def test_invisible_marks_do_not_divide_a_text() -> None:
    marks = (
        '<w:proofErr w:type="spellStart"/>',
        '<w:bookmarkStart w:id="0" w:name="a"/>',
        '<w:commentRangeStart w:id="0"/>',
    )
    texts = []
    for mark in ("", *marks):
        end = mark.replace("Start", "End")
        texts.append(read_word(document(paragraph(run("we "), mark, run("live"), end, run(" here."))), False))
    assert {"".join(text) for ((*text,),) in texts} == {"we live here."}


def test_only_spaces_that_word_shows_are_read() -> None:
    plain = "<w:t> we </w:t>"
    kept = '<w:t xml:space="preserve"> live\n\there\u00a0</w:t>'
    ((text,),) = read_word(document(paragraph(run(plain), run(kept))), False)
    assert text == "we live  here\u00a0"
    (line,) = lines(translated_word(document(paragraph(run(kept)))))
    assert line == " HERE LIVE\u00a0"


def test_other_file_names_and_namespaces_are_supported() -> None:
    body = paragraph(run("we live here."))
    assert lines(translated_word(document(body, main="word/document2.xml")), "word/document2.xml") == ["HERE LIVE WE."]
    assert lines(translated_word(document(body, wml=STRICT))) == ["HERE LIVE WE."]


def test_files_without_text_are_copied_byte_by_byte() -> None:
    given = document(paragraph(run("we live here."), run("1 2 3")))
    with zipfile.ZipFile(io.BytesIO(given)) as before, zipfile.ZipFile(io.BytesIO(translated_word(given))) as behind:
        assert before.namelist() == behind.namelist()
        for name in before.namelist():
            assert (before.read(name) == behind.read(name)) is (name != "word/document.xml")


def test_descriptions_of_pictures_are_translated_only_on_request() -> None:
    picture = '<w:drawing><wp:inline><wp:docPr id="1" name="p" descr="a dog" title="1"/></wp:inline></w:drawing>'
    given = document(paragraph(run("see "), run(picture), run(" here.")))
    assert b'descr="a dog"' in zipped(translated_word(given))
    assert b'descr="DOG A"' in zipped(translated_word(given, attributes=True))
    assert lines(translated_word(given)) == ["HERE SEE [drawing]."]


def zipped(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read("word/document.xml")


def test_bold_text_and_links_keep_their_words_next_to_punctuation() -> None:
    body = paragraph(run("see it ("), f'<w:hyperlink w:anchor="a">{run("here")}</w:hyperlink>', run(").")) + paragraph(
        run("we are"), run("!", BOLD)
    )
    first, second = roots(translated_word(document(body)))["word/document.xml"].iter(f"{W}p")
    assert spoken(first) == [("(", ""), ("HERE", "hyperlink"), (") IT SEE.", "")]
    assert spoken(second) == [("ARE WE", ""), ("!", "b")]


def test_a_bookmark_begins_before_it_ends() -> None:
    begin, end = '<w:bookmarkStart w:id="0" w:name="a"/>', '<w:bookmarkEnd w:id="0"/>'
    given = document(
        paragraph(run("we "), begin, run("live in "), run("an old", BOLD), run(" house"), end, run(" now."))
    )
    (found,) = roots(translated_word(given))["word/document.xml"].iter(f"{W}p")
    marks = [one.tag for one in found if "bookmark" in one.tag]
    assert marks == [f"{W}bookmarkStart", f"{W}bookmarkEnd"]


def test_a_copied_control_has_no_second_number() -> None:
    content = run("very ") + run("old", BOLD)
    control = f'<w:sdt><w:sdtPr><w:id w:val="1"/></w:sdtPr><w:sdtContent>{content}</w:sdtContent></w:sdt>'
    found = translated_word(
        document(paragraph(run("the "), control, run(" house. "), control.replace('"1"', '"2"'), run(" is it.")))
    )
    numbers = [one.get(f"{W}val") for one in roots(found)["word/document.xml"].iter(f"{W}id")]
    assert len(numbers) == len(set(numbers)) == 2


def test_an_incomplete_field_stays_in_place() -> None:
    whole = field("TOC", run("the first line"))
    begun = whole[: whole.rindex("<w:r>")]
    found = translated_word(
        document(paragraph(begun) + paragraph(run("the last line"), whole[whole.rindex("<w:r>") :], run("we are")))
    )
    assert lines(found) == ["LINE FIRST THE", "LINE LAST THEARE WE"]
    kinds = [one.get(f"{W}fldCharType") for one in roots(found)["word/document.xml"].iter(f"{W}fldChar")]
    assert kinds == ["begin", "separate", "end"]


def test_bold_words_stay_bold() -> None:
    made = Document()
    text = made.add_paragraph("a ")
    text.add_run("b").bold = True
    text.add_run(" c")
    text.add_run().add_picture(io.BytesIO(PIXEL))
    made.sections[0].header.paragraphs[0].add_run("\t")
    made.sections[0].header.paragraphs[0].add_run("e f")
    made.add_section()
    found = Document(io.BytesIO(translated_word(saved(made))))
    assert [(one.text, one.bold) for one in found.paragraphs[0].runs] == [
        ("C ", None),
        ("B ", True),
        ("A", None),
        ("", None),
    ]
    assert len(found.inline_shapes) == 1
    assert found.sections[0].header.paragraphs[0].text == "\tF E"
    assert found.sections[1].header.is_linked_to_previous


def saved(made: Any) -> bytes:
    written = io.BytesIO()
    made.save(written)
    return written.getvalue()


def test_a_document_with_a_million_runs_is_refused_quickly() -> None:
    many = document(f"<w:p>{'<w:r/>' * 1_000_000}</w:p>")
    begun = time.process_time()
    with pytest.raises(TooLargeError, match="more than 400000 tags"):
        read_word(many, False)
    assert time.process_time() - begun < 2


def test_runs_paragraphs_and_files_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    for body, what in (
        (paragraph(run("a b") * (MAX_RUNS + 1)), f"{MAX_RUNS} runs"),
        ("<w:p/>" * (MAX_PARAGRAPHS + 1), f"{MAX_PARAGRAPHS} paragraphs"),
    ):
        with pytest.raises(TooLargeError, match=f"the document has more than {what}"):
            read_word(document(body), False)
    with pytest.raises(TooLargeError, match=f"more than {MAX_UNPACKED_BYTES} bytes"):
        read_word(document(" " * MAX_UNPACKED_BYTES), False)
    monkeypatch.setattr(word_files, "MAX_FILES", 3)
    assert MAX_FILES > 3
    with pytest.raises(TooLargeError, match="more than 3 files"):
        read_word(document(""), False)


def test_the_time_for_runs_grows_linearly() -> None:
    runs = [run("a ", BOLD if i % 2 else "") for i in range(2000)]
    fields = (
        "<w:r><w:fldChar w:fldCharType='begin'/></w:r>" * 2000
        + run("a ")
        + "<w:r><w:fldChar w:fldCharType='end'/></w:r>" * 2000
    )
    begun = time.process_time()
    for body in (runs, [*runs, *runs, *runs, *runs], [fields], [field("IF", fields)] * 2):
        given = document(paragraph(*body))
        texts = read_word(given, False)
        write_word(given, False, [[] for _ in texts])
    assert time.process_time() - begun < 10


@pytest.mark.parametrize("xml", ["<!DOCTYPE a [<!ENTITY b 'c'>]>", "<!DOCTYPE a>"])
def test_a_document_with_entities_is_refused(xml: str) -> None:
    given = document(paragraph(run("we")))
    evil = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(given)) as source, zipfile.ZipFile(evil, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, content.replace(b"?>", b"?>" + xml.encode(), 1) if "document" in name else content)
    with pytest.raises(RequestError, match="document type definition"):
        read_word(evil.getvalue(), False)


def test_files_that_are_not_word_documents_are_refused() -> None:
    for content in (b"PK", b"", document("<w:p>" * 300 + "</w:p>" * 300), saved_zip({"a": b""})):
        with pytest.raises(RequestError, match="not a Word document"):
            read_word(content, False)


def saved_zip(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return written.getvalue()


def test_reading_does_not_change_the_document() -> None:
    given = from_word()
    before = copy.copy(given)
    assert read_word(given, False) == read_word(given, False)
    assert given == before
