"""Builders of Word documents as Word, LibreOffice and Google Docs write them, and readers of their text."""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

from lxml import etree

WML = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/wordprocessingml/main"
W = f"{{{WML}}}"
TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml"
RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
OTHERS = {
    "r": RELATION,
    "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006",
    "wp": "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing",
    "wps": "http://schemas.microsoft.com/office/word/2010/wordprocessingShape",
    "m": "http://schemas.openxmlformats.org/officeDocument/2006/math",
}
KINDS = {"header": "hdr", "footer": "ftr", "footnotes": "footnotes", "endnotes": "endnotes", "comments": "comments"}


def document(body: str, others: Mapping[str, str] = {}, *, main: str = "word/document.xml", wml: str = WML) -> bytes:
    """Returns a document.

    Args:
        body: Content of `w:body`.
        others: Contents of the other files, by names such as "header2" and "footnotes".
        main: Name of the file with the body.
        wml: Namespace of Word.
    """
    names = " ".join(f'xmlns:{name}="{uri}"' for name, uri in {"w": wml, **OTHERS}.items())
    files = {main: ("document.main", f"<w:document {names}><w:body>{body}<w:sectPr/></w:body></w:document>")}
    for name, content in others.items():
        kind = name.rstrip("0123456789")
        files[f"word/{name}.xml"] = kind, f"<w:{KINDS[kind]} {names}>{content}</w:{KINDS[kind]}>"
    types = "".join(
        f'<Override PartName="/{name}" ContentType="{TYPE}.{kind}+xml"/>' for name, (kind, _) in files.items()
    )
    packages = RELATION.replace("officeDocument", "package")
    relation = f'<Relationship Id="rId1" Type="{RELATION}/officeDocument" Target="{main}"/>'
    packed = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{types}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{packages}">{relation}</Relationships>',
        **{name: content for name, (_, content) in files.items()},
        "docProps/app.xml": "<Properties><Application>stays</Application></Properties>",
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in packed.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{content}')
    return written.getvalue()


def paragraph(*content: str) -> str:
    return f"<w:p><w:pPr><w:keepNext/></w:pPr>{''.join(content)}</w:p>"


def run(content: str, properties: str = "", attributes: str = "") -> str:
    """Returns a run that contains a text, or elements if `content` has tags."""
    inner = content if "<" in content else f'<w:t xml:space="preserve">{content}</w:t>'
    return f"<w:r {attributes}>{f'<w:rPr>{properties}</w:rPr>' if properties else ''}{inner}</w:r>"


def field(code: str, result: str) -> str:
    """Returns a field made of runs."""
    begin, divide, end = (f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>' for kind in ("begin", "separate", "end"))
    return f'{begin}<w:r><w:instrText xml:space="preserve"> {code} </w:instrText></w:r>{divide}{result}{end}'


def roots(content: bytes) -> dict[str, Any]:
    """Returns the roots of the XML files below word/."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if name.startswith("word/") and name.endswith(".xml")]
        return {name: etree.fromstring(archive.read(name)) for name in names}


def shown(element: Any) -> str:
    """Returns the visible text of an element with tabs and breaks, and other content in brackets."""
    placeholders = {
        "tab": "\t",
        "br": "\n",
        "cr": "\n",
        "footnoteReference": "[1]",
        "drawing": "[drawing]",
        "sym": "[sym]",
    }
    found = []
    for one in element.iter():
        name = etree.QName(one).localname if isinstance(one.tag, str) else ""
        if name == "t":
            kept = one.get("{http://www.w3.org/XML/1998/namespace}space") == "preserve"
            found.append(one.text if kept else (one.text or "").strip())
        else:
            found.append(placeholders.get(name, ""))
    return "".join(found)


def lines(content: bytes, name: str = "word/document.xml") -> list[str]:
    """Returns the visible text of each paragraph."""
    root = roots(content)[name]
    return [shown(one) for one in root.iter(f"{{{etree.QName(root).namespace}}}p")]


def spoken(element: Any) -> list[tuple[str, str]]:
    """Returns the texts of an element, each with its wrappers and run properties, the outermost first."""
    found: list[tuple[str, str]] = []
    for one in element.iter("{*}t"):
        around = [etree.QName(outer).localname for outer in one.iterancestors() if outer is not element]
        names = [name for name in around if name in ("hyperlink", "ins", "sdt", "smartTag", "fldSimple")]
        looks = [etree.QName(look).localname for look in one.getparent().iterfind("{*}rPr/*")]
        found.append((one.text, "/".join([*names[::-1], *looks])))
    return found
