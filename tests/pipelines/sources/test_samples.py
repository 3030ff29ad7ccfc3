"""The bundled samples: their text, that their parts are disjoint, and what is said about their origin."""

import hashlib
import lzma
import re
from functools import cache
from pathlib import Path

import pytest

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.corpora import SAMPLES, LanguagePair, RawPair, open_corpus
from keras_nmt.pipelines.sources.sample import KNOWN

SPLITS = ("train", "dev", "test")
IN_CRAFT = "(TOP (TITLE (NP (NP (JJ Dorsoventral) (NN Patterning)) (PP (IN of) (NP (DT the) (NN Mouse) (NN Coat)))"
TINYSHAKESPEARE = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


@cache
def read(name: str, split: str) -> list[RawPair]:
    return list(open_corpus(f"sample:{name}", LanguagePair(*KNOWN[name].sides), split=split))


def in_words(text: bytes) -> str:
    return " ".join(re.findall(r"\w+", text.decode().casefold()))


def test_each_sample_has_a_folder_with_its_attribution() -> None:
    folders = {path.parent.name for path in SAMPLES.glob("*/ATTRIBUTION.md")}
    assert folders == {path.name for path in SAMPLES.iterdir()} == set(KNOWN)


@pytest.mark.parametrize("name", KNOWN)
def test_the_attribution_counts_what_each_file_has(name: str) -> None:
    rows = re.findall(r"^\| `(\S+)` \| ([\d,]+)", (SAMPLES / name / "ATTRIBUTION.md").read_text(), re.MULTILINE)
    counted = {file: int(count.replace(",", "")) for file, count in rows}
    pairs = {split: read(name, split) for split in SPLITS}
    count = len if KNOWN[name].kind != "txt" else lambda found: sum(len(pair.target.decode()) for pair in found)
    assert counted == {f"{split}.{KNOWN[name].kind}.xz": count(found) for split, found in pairs.items()}


@pytest.mark.parametrize("name", ["craft-trees", "debian-descriptions"])
def test_no_input_or_output_is_in_two_parts(name: str) -> None:
    for side in (0, 1):
        seen: set[str] = set()
        for split in SPLITS:
            found = {in_words(pair[side]) for pair in read(name, split)}
            assert not seen & found
            seen |= found


def test_the_parts_of_the_plays_are_the_whole_text_in_order() -> None:
    text = b"".join(pair.target for split in SPLITS for pair in read("tinyshakespeare", split))
    assert hashlib.sha256(text).hexdigest() == TINYSHAKESPEARE


def test_trees_are_read_with_their_words() -> None:
    first, *_ = read("craft-trees", "train")
    assert first.source == b"Dorsoventral Patterning of the Mouse Coat by Tbx15"
    assert first.target.decode().startswith(IN_CRAFT)


def test_each_description_names_its_package() -> None:
    packages = []
    for split in SPLITS:
        text = lzma.decompress((SAMPLES / "debian-descriptions" / f"{split}.tsv.xz").read_bytes()).decode()
        packages += [line.split("\t")[2] for line in text.removesuffix("\n").split("\n")]
    assert len(set(packages)) == len(packages) == 12_600
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", package) for package in packages)


def test_the_licence_of_each_sample_is_that_of_its_attribution() -> None:
    said = {name: (SAMPLES / name / "ATTRIBUTION.md").read_text() for name in KNOWN}
    for name in ("tatoeba-en-de", "craft-trees", "tinyshakespeare"):
        assert KNOWN[name].licence in said[name]
    assert "licensed as the package" in " ".join(said["debian-descriptions"].split())
    assert "licence of its package" in KNOWN["debian-descriptions"].licence


def test_a_sample_for_another_task_is_refused() -> None:
    message = "sample craft-trees has words and tree, not en-de; name the --task that fits"
    with pytest.raises(DataError, match=message):
        open_corpus("sample:craft-trees", LanguagePair("en", "de"))


def test_the_samples_stay_small() -> None:
    sizes = {name: sum(path.stat().st_size for path in Path(SAMPLES / name).iterdir()) for name in KNOWN}
    assert all(size < 2_200_000 for size in sizes.values())
    assert sum(sizes.values()) < 4_500_000
