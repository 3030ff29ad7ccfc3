"""LibreTranslate's interface, with its published client and with plain requests."""

import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from docx import Document
from libretranslatepy import LibreTranslateAPI

from keras_nmt.app.models.export_layout import DESCRIPTION
from keras_nmt.app.models.exports import ExportModel
from keras_nmt.app.server.http.routes.surrogates import replace_lone_surrogates
from tests.app.server.serving import Running, serving

PAIR = {"source": "en", "target": "de"}


def damaged_document() -> bytes:
    """Returns a Word document whose main file is not valid XML."""
    written, damaged = io.BytesIO(), io.BytesIO()
    Document().save(written)
    with zipfile.ZipFile(written) as whole, zipfile.ZipFile(damaged, "w") as archive:
        for name in whole.namelist():
            archive.writestr(name, b"<w:document" if name == "word/document.xml" else whole.read(name))
    return damaged.getvalue()


@pytest.fixture(scope="module")
def client(server: Running) -> LibreTranslateAPI:
    return LibreTranslateAPI(server.url)


@pytest.fixture(scope="module")
def two_ways(copies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose models return each text, as English-French and as German-French."""
    folder = tmp_path_factory.mktemp("two-ways")
    for pair in ("en-fr", "de-fr"):
        shutil.copytree(copies, folder / pair)
        description = folder / pair / "1" / DESCRIPTION
        description.write_text(description.read_text().replace('"en-de"', f'"{pair}"'))
    with serving(folder) as running:
        yield running


@pytest.fixture(scope="module")
def translated(export: Path) -> Any:
    translator = ExportModel(export / "1", {}).translator()
    return lambda *texts: [one.text for one in translator.translate(texts)]


def test_the_published_client_works(client: LibreTranslateAPI, translated: Any) -> None:
    assert client.translate("It rains.", "en", "de") == translated("It rains.")[0]
    assert {one["code"] for one in client.languages()} == {"en", "de"}
    assert client.detect("Guten Morgen, wie geht es Ihnen?")[0]["language"] == "de"


def test_health_and_settings(server: Running) -> None:
    assert server.ok("/health") == {"status": "ok"}
    settings = server.ok("/frontend/settings")
    assert settings["charLimit"] == 50_000
    assert settings["language"]["source"] == {"code": "en", "name": "English"}
    assert ".docx" in settings["supportedFilesFormat"]


def test_each_sentence_is_translated_by_itself_and_space_stays(server: Running, translated: Any) -> None:
    first, second = translated("It rains.", "We are here.")
    found = server.ok("/translate", {"q": " It rains.  We are here.\n\n\tIt rains.\r\n", **PAIR})
    assert found == {"translatedText": f" {first}  {second}\n\n\t{first}\r\n"}


def test_texts_may_be_lists_forms_or_empty(server: Running, translated: Any) -> None:
    expected = [*translated("It rains."), "", *translated("We are here.")]
    assert server.ok("/translate", {"q": ["It rains.", "", "We are here."], **PAIR}) == {"translatedText": expected}
    assert server.ok("/translate", {"q": [], **PAIR}) == {"translatedText": []}
    assert server.ok("/translate", {"q": " \n", **PAIR}) == {"translatedText": " \n"}
    form = server.post("/translate", data={"q": "It rains.", **PAIR})
    assert form.json() == {"translatedText": expected[0]}


def test_the_source_language_is_identified(server: Running) -> None:
    found = server.ok("/translate", {"q": "We are here, and it rains.", "source": "auto", "target": "de"})
    assert found["detectedLanguage"]["language"] == "en"
    several = server.ok("/translate", {"q": ["We are here.", "It rains."], "source": "auto", "target": "de"})
    assert [one["language"] for one in several["detectedLanguage"]] == ["en", "en"]


def test_alternatives_are_different(server: Running) -> None:
    found = server.ok("/translate", {"q": "It rains.", "alternatives": 3, **PAIR})
    texts = [found["translatedText"], *found["alternatives"]]
    assert len(texts) == len(set(texts)) > 1


def test_markup_stays(server: Running, translated: Any) -> None:
    (text,) = translated("It rains.")
    html = '<h1 class="x">It rains.</h1><!-- It rains. --><pre>It rains.</pre><p translate="no">It rains.</p>'
    found = server.ok("/translate", {"q": html, "format": "html", **PAIR})["translatedText"]
    assert found == html.replace('"x">It rains.', f'"x">{text}')


def test_attributes_are_translated_on_request(server: Running, translated: Any) -> None:
    (text,) = translated("It rains.")
    html = '<p title="It rains.">It rains.</p>'
    asked = {"q": [html, "<b>1</b>"], "format": "html", **PAIR}
    found = server.ok("/translate", asked)["translatedText"]
    assert found == [f'<p title="It rains.">{text}</p>', "<b>1</b>"]
    found = server.ok("/translate", asked | {"attributes": True})["translatedText"]
    assert found == [f'<p title="{text}">{text}</p>', "<b>1</b>"]
    assert upload(server, "a.html", html.encode(), attributes="true").text == f'<p title="{text}">{text}</p>'
    refused = httpx.post(
        f"{server.url}/translate_file", files={"file": ("a.txt", b"a")}, data={**PAIR, "attributes": "perhaps"}
    )
    assert (refused.status_code, refused.json()["error"].partition(":")[0]) == (400, "attributes")


def test_invalid_requests_are_refused(server: Running) -> None:
    for fields, status in (
        ({"q": "a", "source": "en"}, 400),
        ({"q": 1, **PAIR}, 400),
        ({"q": "a", "source": "de", "target": "en"}, 400),
        ({"q": "a", "source": "auto", "target": "fr"}, 400),
        ({"q": "a", **PAIR, "format": "pdf"}, 400),
        ({"q": "a", **PAIR, "alternatives": -1}, 400),
        ([], 400),
    ):
        response = server.post("/translate", fields)
        assert (response.status_code, list(response.json())) == (status, ["error"]), fields


def test_text_files_are_translated(server: Running, translated: Any) -> None:
    first, second = translated("It rains.", "We are here.")
    found = upload(server, "a.txt", b"It rains.\nWe are here.\n")
    assert found.text == f"{first}\n{second}\n"
    assert found.headers["content-disposition"] == 'attachment; filename="a.de.txt"'
    assert upload(server, "a.HTML", b"<p>It rains.</p>").text == f"<p>{first}</p>"


def test_word_documents_are_translated(server: Running, translated: Any) -> None:
    document = Document()
    document.add_heading("It rains.", 1)
    paragraph = document.add_paragraph("We are ")
    paragraph.add_run("here").bold = True
    paragraph.add_run(".")
    document.add_table(1, 1).cell(0, 0).text = "It rains."
    document.sections[0].header.paragraphs[0].text = "It rains."
    written = io.BytesIO()
    document.save(written)
    found = Document(io.BytesIO(upload(server, "a.docx", written.getvalue()).content))
    rains, here = translated("It rains.", "We are here.")
    heading, text = (paragraph.text for paragraph in found.paragraphs)
    assert (heading, text.removesuffix(".")) == (rains, here.removesuffix("."))  # the last run, ".", stays
    assert found.paragraphs[0].style.name == "Heading 1"
    assert found.tables[0].cell(0, 0).text == rains
    assert found.sections[0].header.paragraphs[0].text == rains


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.pdf", b"x", "cannot translate .pdf"),
        ("a", b"x", "without a suffix"),
        ("a.txt", b"\xff\xfe", "not in UTF-8"),
        ("a.docx", b"PK", "not a Word document"),
        ("a.docx", damaged_document(), "not a Word document"),
    ],
)
def test_other_files_are_refused(server: Running, name: str, content: bytes, reason: str) -> None:
    response = httpx.post(f"{server.url}/translate_file", files={"file": (name, content)}, data=PAIR)
    assert response.status_code == 400
    assert reason in response.json()["error"]


@pytest.mark.parametrize("name", ["nope.txt", "..%2f..%2fetc%2fpasswd", "%2e%2e"])
def test_no_other_file_can_be_downloaded(server: Running, name: str) -> None:
    assert server.get(f"/download_file/{name}").status_code == 404


def upload(server: Running, name: str, content: bytes, **fields: str) -> httpx.Response:
    form = {**PAIR, **fields}
    response = httpx.post(f"{server.url}/translate_file", files={"file": (name, content)}, data=form, timeout=60)
    assert response.status_code == 200, response.text
    return httpx.get(response.json()["translatedFileUrl"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/translate", b'{"q": "Good morning \\ud83d", "source": "en", "target": "de"}'),
        ("/translate", b'{"q": "<p>Good morning \\ud83d</p>", "source": "en", "target": "de", "format": "html"}'),
        ("/translate", b'{"q": ["Good morning.", "\\ud83d"], "source": "en", "target": "de"}'),
        ("/detect", b'{"q": "Good morning \\ude00"}'),
        ("/api/translate", b'{"text": "Good morning \\ud83d", "source": "en", "target": "de"}'),
        ("/api/stream", b'{"text": "Good morning \\ud83d", "source": "en", "target": "de"}'),
        ("/api/alternatives", b'{"sentence": "It rains.", "prefix": "\\ud83d", "source": "en", "target": "de"}'),
        ("/api/explain", b'{"sentence": "It rains \\ud83d", "source": "en", "target": "de"}'),
        ("/v1/models/export:predict", b'{"instances": ["Good morning \\ud83d"]}'),
    ],
)
def test_a_lone_surrogate_is_accepted(server: Running, path: str, body: bytes) -> None:
    answer = server.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    assert answer.content.strip()
    assert "error" not in answer.text


def test_lone_surrogates_are_replaced_and_nothing_else() -> None:
    given = {"a": ["ab", "\ud83d\ude00", "x\ud83dy", 1, None], "\ud83d": True}
    assert replace_lone_surrogates(given) == {"a": ["ab", "\N{GRINNING FACE}", "x\ufffdy", 1, None], "\ufffd": True}


def test_a_text_in_a_language_without_a_model_is_refused_with_its_language(server: Running) -> None:
    for text, name, code in (("今天天气很好。", "Chinese", "zh"), ("La tua password non è corretta", "Italian", "it")):
        answer = server.post("/translate", {"q": text, "source": "auto", "target": "de"})
        assert answer.status_code == 400
        assert answer.json()["error"] == (
            f"the text seems to be in {name}, and there is no model for {code}-de; there are: en-de"
        )
        assert server.ok("/detect", {"q": text})[0]["language"] == code
    nothing = server.ok("/translate", {"q": "", "source": "auto", "target": "de"})
    assert nothing == {"translatedText": "", "detectedLanguage": {"language": "en", "confidence": 0.0}}


def test_language_codes_may_have_any_notation(server: Running, translated: Any) -> None:
    expected = translated("It rains.")[0]
    for source, target in (("eng", "deu"), ("EN", "ger"), ("en_GB", "de-AT")):
        found = server.ok("/translate", {"q": "It rains.", "source": source, "target": target})
        assert found == {"translatedText": expected}
    assert server.ok("/api/translate", {"text": "It rains.", "source": "auto", "target": "deu"})["source"] == "en"
    form = {"source": "eng", "target": "deu"}
    answer = server.post("/translate_file", data=form, files={"file": ("a.txt", b"It rains.")})
    assert 'filename="a.de.txt"' in httpx.get(answer.json()["translatedFileUrl"]).headers["content-disposition"]


def test_the_language_of_html_is_identified_by_its_visible_text(two_ways: Running) -> None:
    script = '<script>function onLoad(event) { return document.getElementById("main").style.display; }</script>'
    html = f"<!-- This is the page that welcomes you. -->{script}<p>Willkommen <b>auf</b> unserer Seite</p>"
    found = two_ways.ok("/translate", {"q": html, "source": "auto", "target": "fr", "format": "html"})
    assert found["detectedLanguage"]["language"] == "de"


def test_files_can_be_stored_after_their_folder_was_deleted(copying_server: Running) -> None:
    for _ in range(2):
        url = upload(copying_server, "Übung 1.txt", b"It rains.").request.url
        answer = httpx.get(url)
        assert answer.text == "It rains."
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''%C3%9Cbung%201.de.txt"
        for folder in Path(tempfile.gettempdir()).glob("nmt-files-*"):
            if (folder / url.path.split("/")[-1]).exists():
                shutil.rmtree(folder)
        assert httpx.get(url).status_code == 404


def test_details_that_clients_rely_on(server: Running, translated: Any) -> None:
    expected = {"translatedText": translated("It rains.")[0]}
    kind = {"Content-Type": "Application/X-WWW-Form-Urlencoded"}
    answer = server.post("/translate", content=b"q=It+rains.&source=en&target=de", headers=kind)
    assert answer.json() == expected
    assert server.ok("/translate", {"q": "It rains.", "format": "", **PAIR}) == expected
    for path in ("/api/translate", "/translate"):
        answer = server.post(path, content=b"{", headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        assert "JSON" in answer.json()["error"]
        assert "decode" not in answer.json()["error"]


@pytest.mark.parametrize("texts", [None, 5, [["a"]], ["a", 1], {"a": "b"}])
def test_values_that_are_not_texts_are_refused_with_one_message(server: Running, texts: Any) -> None:
    answer = server.post("/translate", {"q": texts, **PAIR})
    assert (answer.status_code, answer.json()["error"]) == (400, "q: expected a text or a list of texts")
