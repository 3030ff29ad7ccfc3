"""The demo of parsing: sentences of biomedical articles into constituency trees, in five minutes."""

from pathlib import Path
from typing import TYPE_CHECKING

from keras_nmt.app.commands.demo.demo import Demo, Evaluated, Minutes, Size, Words

if TYPE_CHECKING:
    from keras_nmt.app.models.loading import RunModel

SENTENCE = "The mice with the mutation can't see the light."  # drawn at the end, beside one of the test set
WIDTH = 100  # columns of the drawings at most


class ParsingDemo(Demo):
    """The demo of parsing; see `Demo`."""

    task, sample, out = "parsing", "craft-trees", Path("demo-parsing")
    preset = "treebank"
    full = Size(
        vocabulary_size=2000,
        settings=(
            "model.encoder_layers=3",
            "model.model_width=128",
            "model.inner_width=256",
            "model.residual_dropout=0.1",
            "training.optimizer=muon",
            "training.learning_rate=1e-2",
            "training.label_smoothing=0.0",
            "training.batch_tokens=1024",
            "training.max_length=128",
            "training.steps=900",
            "training.warmup_steps=90",
            "training.checkpoint_every=450",
            "training.dev_sentences=50",
            "decoding.beam_size=2",
        ),
        test_pairs=200,
    )
    quick = Size(
        vocabulary_size=1000,
        settings=(
            *full.settings,
            "model.encoder_layers=1",
            "model.decoder_layers=1",
            "training.steps=40",
            "training.warmup_steps=10",
            "training.checkpoint_every=20",
            "training.dev_sentences=0",
            "decoding.max_extra_tokens=60",
        ),
        pairs=1000,
        test_pairs=10,
    )
    minutes = Minutes(all=4.75, after_training=1.25, least_training=1.0)
    words = Words(
        prepare="sentences and their trees become a vocabulary and shards",
        train="a Transformer learns to parse",
        evaluate="parse sentences the model has not seen",
        export="a fresh process parses as the run does",
    )

    def show(self, model: "RunModel", evaluated: Evaluated) -> None:
        """Draws the trees of a sentence that a person could type, and of the shortest test sentence of eight words."""
        import shutil

        from keras_nmt.app.runtime.console import say
        from keras_nmt.pipelines.trees.drawing import drawn
        from keras_nmt.pipelines.trees.tree import parse_tree

        (own,) = model.translator().translate([model.task.prepared(SENTENCE)])
        typical = min(evaluated.rows(), key=lambda row: abs(len(row[0].split()) - 8))
        width = min(WIDTH, shutil.get_terminal_size().columns)
        for sentence, tree in ((SENTENCE, own.text), typical[:2]):
            say(f"\n{sentence}")
            print(drawn(parse_tree(tree), width), flush=True)
        f1 = model.task.score([typical[1]], [[typical[2]]]).as_dict()["all"]["f1"]
        say(f"(by hand: {typical[2]}; F1 {f1:.0f})")

    def commands(self, nmt: str, trained: Path, exported: Path) -> list[str]:
        """Returns commands that parse, score, serve and prepare."""
        return [
            f'echo "The cat sat on the mat." | {nmt} parse {trained} --pretty',
            f"{nmt} serve {exported}    # draws trees in the browser",
            f"{nmt} evaluate {trained} --test-set {self.spec} --json",
            f"{nmt} prepare --task {self.task} --corpus trees:FILE …    # your own treebank",
        ]
