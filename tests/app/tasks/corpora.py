"""Small corpora for the tests of the tasks."""

import json
from pathlib import Path

TREES = (Path(__file__).parents[1] / "scoring" / "evalb" / "gold.trees").read_text(encoding="utf-8").splitlines()
NOUNS = ("cat", "dog", "bird", "fox", "cow", "horse", "sheep", "goat")
PLACES = ("garden", "house", "forest", "river", "city", "kitchen")
PAIRS = [
    (
        f"On day {day} we saw a {noun} in the {place}. It was a fine day. Nobody knew why the {noun} came.",
        f"{noun} seen",
    )
    for day, place in enumerate(PLACES * 5)
    for noun in NOUNS
]
LONG = " ".join(f"The {noun} slept in the {place}." for noun in NOUNS for place in PLACES)
PLAY = "".join(f"Citizen {i}:\n  Speak, speak, {i} times.\n\n" for i in range(150))
DEV_PLAY = "All:\nWe know the citizen, we know.\n\n  Speak!\n"


def write_trees(folder: Path) -> None:
    """Writes a treebank, `train.trees` and `dev.trees`."""
    folder.mkdir()
    (folder / "train.trees").write_text("\n".join(TREES[20:180]) + "\n")
    (folder / "dev.trees").write_text("\n".join(TREES[180:184]) + "\n")


def write_summaries(folder: Path) -> None:
    """Writes texts with their summaries, `train.tsv` and `dev.jsonl`."""
    folder.mkdir()
    train = [*PAIRS[8:], (LONG, "much sleep")]
    (folder / "train.tsv").write_text("".join(f"{text}\t{summary}\n" for text, summary in train))
    lines = [json.dumps({"text": text, "summary": summary}) for text, summary in PAIRS[:8]]
    (folder / "dev.jsonl").write_text("".join(f"{line}\n" for line in lines))


def write_running_text(folder: Path) -> None:
    """Writes documents, `train.txt` and `dev.txt`."""
    folder.mkdir()
    (folder / "train.txt").write_text(PLAY)
    (folder / "dev.txt").write_text(DEV_PLAY)
