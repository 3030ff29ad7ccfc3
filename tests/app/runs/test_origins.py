"""What a run says of its corpora does not show the folders of the machine."""

import pytest

from keras_nmt.app.runs.directory import spec_without_folders, without_folders


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("tsv:/home/me/a.tsv?weight=2", "tsv:a.tsv?weight=2"),
        ("reversed:trees:/home/me/wsj.mrg", "reversed:trees:wsj.mrg"),
        ("text:/home/me/books/*.txt?documents=lines", "text:*.txt?documents=lines"),
        ("tfds:wmt14_translate/de-en", "tfds:wmt14_translate/de-en"),
    ],
)
def test_only_the_names_of_files_are_kept(spec: str, shown: str) -> None:
    origin = {"kind": "any", "spec": spec, "files": [{"path": "/home/me/a.tsv", "bytes": 3}]}
    assert without_folders(origin) == {"kind": "any", "spec": shown, "files": [{"path": "a.tsv", "bytes": 3}]}


@pytest.mark.parametrize(
    ("name", "shown"),
    [("wmt14", "wmt14"), ("text:/home/me/val.txt into fr", "text:val.txt into fr"), ("test.de", "test.de")],
)
def test_the_name_of_an_evaluated_text_has_no_folders(name: str, shown: str) -> None:
    assert spec_without_folders(name) == shown
