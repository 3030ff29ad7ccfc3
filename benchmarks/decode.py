"""How fast an export translates, beside CTranslate2 with the same weights.

The run is exported as `nmt export` does by itself, and for CTranslate2 in float32 and int8. Measured are the program
itself (which takes the faster engine that its export brings), the SavedModel alone, and CTranslate2 as its users call
it. All of them translate the same sentences, in batches of like length and one by one, and take turns round by round,
since the speed of a shared machine changes within minutes. A table goes to stderr, the last line of stdout is one JSON
object; README.md says what its figures mean.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple

BEAM_SIZE = 4
FIRST_ANSWER = """
import json, sys, time
begun = time.perf_counter()
import tensorflow as tf
import tensorflow_text
imported = time.perf_counter()
loaded = tf.saved_model.load(sys.argv[1])
loaded.translate([sys.argv[2]])
print(json.dumps([imported - begun, time.perf_counter() - imported]))
"""

Translate = Callable[[Sequence[list[str]]], list[str]]


class Turn(NamedTuple):
    """What an engine did in a round: target tokens a second and a processor second, and milliseconds a sentence."""

    tokens_per_second: float
    tokens_per_processor_second: float
    milliseconds_beam: float
    milliseconds_greedy: float


class Engine(NamedTuple):
    """Something that translates batches of sentences with a beam, and one that does so greedily."""

    beam: Translate
    greedy: Translate


def main() -> None:
    """Measures, and prints the result."""
    options = read_options()
    from app.runtime.processors import processor_name
    from app.runtime.tensorflow_start import import_tensorflow

    import_tensorflow(batches_at_once=options.workers)
    sentences = options.source.read_text(encoding="utf-8").splitlines()[: options.sentences]
    with tempfile.TemporaryDirectory() as folder:
        exports = write_exports(options.run, Path(folder))
        engines = load_engines(exports, workers=options.workers)
        result = measure(engines, sentences, options)
        result["seconds_to_import_and_to_first_answer"] = first_answer(exports["nmt"], sentences[0])
    print(json.dumps({"processor": processor_name(), **result}))


def read_options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description="Measures translating beside CTranslate2 with the same weights.",
        epilog="example: python -m benchmarks.decode --run run --source test.en --reference test.de",
    )
    add = parser.add_argument
    add("--run", type=Path, required=True, metavar="RUN", help="what `nmt train` wrote")
    add("--source", type=Path, required=True, metavar="F", help="text to translate")
    add("--reference", type=Path, metavar="F", help="its translation, for BLEU")
    add("--sentences", type=int, default=256, help="so many of the first lines (default: 256)")
    add("--batch", type=int, default=64, help="sentences of a batch (default: 64)")
    add("--single", type=int, default=20, help="sentences translated alone, for the latency (default: 20)")
    add("--rounds", type=int, default=3, help="how often each engine gets its turn (default: 3)")
    add("--workers", type=int, default=2, help="batches at once, each with one thread (default: 2)")
    return parser.parse_args()


def write_exports(run: Path, folder: Path) -> dict[str, Path]:
    """The versions to measure, by name; one that `nmt export` refuses, as inexact in int8, is left out."""
    for name, arguments in {
        "nmt": [],
        "ctranslate2-float32": ["--format", "ctranslate2"],
        "ctranslate2-int8": ["--format", "ctranslate2", "--quantization", "int8"],
    }.items():
        command = [sys.executable, "-m", "app", "export", str(run), "--out", str(folder / name), *arguments]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            say(f"{name} is left out: it was not exported")
    return {out.name: out / "1" for out in folder.iterdir()}


def load_engines(exports: Mapping[str, Path], *, workers: int) -> dict[str, Engine]:
    """Each engine; CTranslate2 with all threads on one batch, and with workers of one thread."""
    engines = {"nmt": program(exports["nmt"], workers=workers)}
    engines["saved model"] = program(exports["nmt"], workers=workers, engine="tensorflow")
    for name in exports.keys() - {"nmt"}:
        for at_once, threads in ((1, 0), (workers, 1)):
            engines[f"{name}, {at_once} worker(s)"] = ctranslate2_model(exports[name], workers=at_once, threads=threads)
    return engines


def program(version: Path, *, workers: int, engine: Literal["tensorflow"] | None = None) -> Engine:
    """This program, as `nmt translate` runs it."""
    from app.models.exports import load_export

    def translate(beam_size: int) -> Translate:
        translator = load_export(version, {"beam_size": beam_size}, engine).translator(batches_at_once=workers)
        return lambda batches: [line.text for line in translator.translate(chain.from_iterable(batches))]

    return Engine(translate(BEAM_SIZE), translate(1))


def ctranslate2_model(version: Path, *, workers: int, threads: int) -> Engine:
    """CTranslate2 as its users call it: SentencePiece before and after, its own search as it comes."""
    import ctranslate2
    import sentencepiece

    decoding = json.loads((version / "assets.extra" / "nmt.json").read_text())["decoding"]
    cutter = sentencepiece.SentencePieceProcessor(model_file=str(version / "vocabulary.model"))
    engine = ctranslate2.Translator(str(version), device="cpu", inter_threads=workers, intra_threads=threads)

    def translate(batches: Sequence[list[str]], beam_size: int) -> list[str]:
        waiting = []
        for texts in batches:
            pieces = cutter.encode(texts, out_type=str)
            waiting += engine.translate_batch(
                pieces,
                asynchronous=True,
                max_batch_size=-(-len(texts) // workers),  # its fastest: workers that share a batch
                beam_size=beam_size,
                length_penalty=decoding["length_penalty"],
                max_decoding_length=max(map(len, pieces)) + decoding["max_extra_tokens"],
            )
        return list(cutter.decode([result.result().hypotheses[0] for result in waiting]))

    return Engine(partial(translate, beam_size=BEAM_SIZE), partial(translate, beam_size=1))


def measure(engines: Mapping[str, Engine], sentences: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """The figures; a turn of a round translates all sentences in batches, then some one by one, in both ways."""
    by_length = sorted(sentences, key=len)
    batches = [by_length[i : i + options.batch] for i in range(0, len(by_length), options.batch)]
    alone = [[sentence] for sentence in sentences[: options.single]]
    turns: dict[str, list[Turn]] = {name: [] for name in engines}
    translations = {}
    for _ in range(1 + options.rounds):  # the first one warms up
        for name, engine in engines.items():
            begun = time.process_time()
            seconds, texts = timed(engine.beam, batches)
            processor_seconds = time.process_time() - begun
            translations[name] = dict(zip(by_length, texts, strict=True))
            tokens = count_tokens(options.run, texts)
            beam, greedy = (milliseconds_alone(way, alone) for way in engine)
            turns[name].append(Turn(tokens / seconds, tokens / processor_seconds, beam, greedy))
            say(f"{name}: {turns[name][-1]}")
    turns = {name: of_each[1:] for name, of_each in turns.items()}
    say("| engine | beam 4, target tokens/s (all rounds) | a processor second | alone, beam 4, ms | greedy, ms |")
    say("|---|---|---|---|---|")
    for name, of_each in turns.items():
        columns = list(zip(*of_each, strict=True))
        middle = [median(column) for column in columns]
        spread = f"{min(columns[0]):,.0f} to {max(columns[0]):,.0f}"
        say(f"| {name} | {middle[0]:,.0f} ({spread}) | {middle[1]:,.0f} | {middle[2]:.1f} | {middle[3]:.1f} |")
    return {**ratios(turns), "bleu": bleu(translations, sentences, options.reference)}


def milliseconds_alone(translate: Translate, alone: Sequence[list[str]]) -> float:
    """The median over sentences that are translated one by one."""
    return 1000 * median(timed(translate, [sentence])[0] for sentence in alone)


def timed(translate: Translate, batches: Sequence[list[str]]) -> tuple[float, list[str]]:
    """The seconds that all batches took, and the translations."""
    begun = time.perf_counter()
    texts = translate(batches)
    return time.perf_counter() - begun, texts


def ratios(turns: Mapping[str, Sequence[Turn]]) -> dict[str, Any]:
    """The program to CTranslate2's best mode: the medians over rounds of the ratios within a round."""

    def ratio(kind: str, field: str, best: Callable[..., float]) -> float | None:
        modes = [of_each for name, of_each in turns.items() if name.startswith(f"ctranslate2-{kind}")]
        if not modes:
            return None
        rounds = zip(turns["nmt"], *modes, strict=True)
        of_rounds = (getattr(ours, field) / best(getattr(one, field) for one in theirs) for ours, *theirs in rounds)
        return round(median(of_rounds), 2)

    def middle(field: str) -> dict[str, float]:
        return {name: round(median(getattr(turn, field) for turn in of_each), 1) for name, of_each in turns.items()}

    return {
        **{field: middle(field) for field in Turn._fields},
        "ratio_to_ctranslate2_int8": ratio("int8", "tokens_per_second", max),
        "ratio_to_ctranslate2_float32": ratio("float32", "tokens_per_second", max),
        "latency_ratio_to_ctranslate2_int8": ratio("int8", "milliseconds_greedy", min),
        "beam_latency_ratio_to_ctranslate2_int8": ratio("int8", "milliseconds_beam", min),
    }


def count_tokens(run: Path, texts: Sequence[str]) -> int:
    """Tokens of translations, with an end each."""
    import sentencepiece

    cutter = sentencepiece.SentencePieceProcessor(model_file=str(run / "vocabulary.model"))
    return sum(len(ids) + 1 for ids in cutter.encode(list(texts)))


def bleu(
    translations: Mapping[str, Mapping[str, str]], sentences: Sequence[str], reference: Path | None
) -> dict[str, float]:
    """Of each engine's translations; empty without a reference."""
    if reference is None:
        return {}
    import sacrebleu

    references = reference.read_text(encoding="utf-8").splitlines()[: len(sentences)]
    return {
        name: round(sacrebleu.corpus_bleu([texts[sentence] for sentence in sentences], [references]).score, 2)
        for name, texts in translations.items()
    }


def first_answer(version: Path, sentence: str) -> list[float]:
    """The seconds that a fresh process takes to import TensorFlow, and then to load a version and translate."""
    command = [sys.executable, "-W", "ignore", "-c", FIRST_ANSWER, str(version), sentence]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [round(seconds, 1) for seconds in json.loads(done.stdout.splitlines()[-1])]


def say(line: str) -> None:
    """Writes a line to stderr."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
