"""Compares the translation speed of an export with that of CTranslate2 on the same weights.

A trained model is exported three times: with the defaults of `nmt export`, and for CTranslate2 in float32 and in int8.
Three kinds of engine are measured: this program with the faster engine of its export, the SavedModel of the same
export, and CTranslate2 called directly. All engines translate the same sentences, in batches of similar length and one
by one. In each round, all engines are measured one after another, because the speed of a shared machine changes within
minutes. Prints a table to stderr and one JSON object as the last line of stdout. README.md explains the numbers.
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


class Speed(NamedTuple):
    """Speed of an engine in one round.

    Attributes:
        tokens_per_second: Target tokens per second in batches, with a beam.
        tokens_per_processor_second: Target tokens per second of CPU time in batches, with a beam.
        milliseconds_beam: Median time to translate a single sentence with a beam.
        milliseconds_greedy: Median time to translate a single sentence greedily.
    """

    tokens_per_second: float
    tokens_per_processor_second: float
    milliseconds_beam: float
    milliseconds_greedy: float


class Engine(NamedTuple):
    """Two functions of an engine that translate batches of sentences: one with a beam, one greedily."""

    beam: Translate
    greedy: Translate


def main() -> None:
    """Measures all engines and prints the results."""
    options = read_options()
    from keras_nmt.app.runtime.processors import processor_name
    from keras_nmt.app.runtime.tensorflow_start import import_tensorflow

    import_tensorflow(batches_at_once=options.workers)
    sentences = options.source.read_text(encoding="utf-8").splitlines()[: options.sentences]
    with tempfile.TemporaryDirectory() as folder:
        exports = write_exports(options.run, Path(folder))
        engines = load_engines(exports, workers=options.workers)
        result = measure(engines, sentences, options)
        result["seconds_to_import_and_to_first_answer"] = first_answer(exports["nmt"], sentences[0])
    print(json.dumps({"processor": processor_name(), **result}))


def read_options() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description="Compares translation speed with CTranslate2 on the same weights.",
        epilog="example: python -m benchmarks.decode --run run --source test.en --reference test.de",
    )
    add = parser.add_argument
    add("--run", type=Path, required=True, metavar="RUN", help="output of `nmt train`")
    add("--source", type=Path, required=True, metavar="F", help="text to translate")
    add("--reference", type=Path, metavar="F", help="reference translation, for BLEU")
    add("--sentences", type=int, default=256, help="number of lines to translate (default: 256)")
    add("--batch", type=int, default=64, help="sentences per batch (default: 64)")
    add("--single", type=int, default=20, help="sentences translated one by one, for the latency (default: 20)")
    add("--rounds", type=int, default=3, help="measurements of each engine (default: 3)")
    add("--workers", type=int, default=2, help="concurrent batches, one thread each (default: 2)")
    return parser.parse_args()


def write_exports(run: Path, folder: Path) -> dict[str, Path]:
    """Exports a run three times into `folder`, and returns the folder of each export's version by name.

    Leaves out an export that `nmt export` rejects, such as an int8 model that is too inexact.
    """
    for name, arguments in {
        "nmt": [],
        "ctranslate2-float32": ["--format", "ctranslate2"],
        "ctranslate2-int8": ["--format", "ctranslate2", "--quantization", "int8"],
    }.items():
        command = [sys.executable, "-m", "keras_nmt", "export", str(run), "--out", str(folder / name), *arguments]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            say(f"{name} is left out: the export failed")
    return {out.name: out / "1" for out in folder.iterdir()}


def load_engines(exports: Mapping[str, Path], *, workers: int) -> dict[str, Engine]:
    """Returns the engines of all exports by name.

    Each CTranslate2 export is loaded twice: with one worker that uses all threads, and with `workers` workers that use
    one thread each.
    """
    engines = {"nmt": program(exports["nmt"], workers=workers)}
    engines["saved model"] = program(exports["nmt"], workers=workers, engine="tensorflow")
    for name in exports.keys() - {"nmt"}:
        for at_once, threads in ((1, 0), (workers, 1)):
            engines[f"{name}, {at_once} worker(s)"] = ctranslate2_model(exports[name], workers=at_once, threads=threads)
    return engines


def program(version: Path, *, workers: int, engine: Literal["tensorflow"] | None = None) -> Engine:
    """Returns an engine that translates as `nmt translate` does.

    Args:
        version: Folder of the export's version.
        workers: Number of batches that are translated at once.
        engine: "tensorflow" for the SavedModel; None for the faster engine of the export.
    """
    from keras_nmt.app.models.exports import load_export

    def translate(beam_size: int) -> Translate:
        translator = load_export(version, {"beam_size": beam_size}, engine).translator(batches_at_once=workers)
        return lambda batches: [line.text for line in translator.translate(chain.from_iterable(batches))]

    return Engine(translate(BEAM_SIZE), translate(1))


def ctranslate2_model(version: Path, *, workers: int, threads: int) -> Engine:
    """Returns an engine that calls CTranslate2 as its users do, with SentencePiece to split and join the words.

    The length penalty and the maximum length are those of the export. The other search options are CTranslate2's
    defaults, except for the beam size.
    """
    import ctranslate2
    import sentencepiece

    decoding = json.loads((version / "assets.extra" / "nmt.json").read_text())["decoding"]
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(version / "vocabulary.model"))
    engine = ctranslate2.Translator(str(version), device="cpu", inter_threads=workers, intra_threads=threads)

    def translate(batches: Sequence[list[str]], beam_size: int) -> list[str]:
        waiting = []
        for texts in batches:
            pieces = tokenizer.encode(texts, out_type=str)
            waiting += engine.translate_batch(
                pieces,
                asynchronous=True,
                max_batch_size=-(-len(texts) // workers),  # fastest when the workers share a batch
                beam_size=beam_size,
                length_penalty=decoding["length_penalty"],
                max_decoding_length=max(map(len, pieces)) + decoding["max_extra_tokens"],
            )
        return list(tokenizer.decode([result.result().hypotheses[0] for result in waiting]))

    return Engine(partial(translate, beam_size=BEAM_SIZE), partial(translate, beam_size=1))


def measure(engines: Mapping[str, Engine], sentences: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """Measures all engines in each round, prints a table and returns the results.

    In each round, each engine translates all sentences in batches with a beam. Then the engine translates the first
    `options.single` sentences one by one, with a beam and greedily. A first round for warm-up is not counted.
    """
    by_length = sorted(sentences, key=len)
    batches = [by_length[i : i + options.batch] for i in range(0, len(by_length), options.batch)]
    singles = [[sentence] for sentence in sentences[: options.single]]
    speeds: dict[str, list[Speed]] = {name: [] for name in engines}
    translations = {}
    for _ in range(1 + options.rounds):  # the first round is the warm-up
        for name, engine in engines.items():
            begun = time.process_time()
            seconds, texts = timed(engine.beam, batches)
            processor_seconds = time.process_time() - begun
            translations[name] = dict(zip(by_length, texts, strict=True))
            tokens = count_tokens(options.run, texts)
            beam, greedy = (milliseconds_single(way, singles) for way in engine)
            speeds[name].append(Speed(tokens / seconds, tokens / processor_seconds, beam, greedy))
            say(f"{name}: {speeds[name][-1]}")
    speeds = {name: rounds[1:] for name, rounds in speeds.items()}
    say("| engine | beam 4, target tokens/s (all rounds) | per CPU-second | single sentence, beam 4, ms | greedy, ms |")
    say("|---|---|---|---|---|")
    for name, rounds in speeds.items():
        columns = list(zip(*rounds, strict=True))
        medians = Speed(*map(median, columns))
        spread = f"{min(columns[0]):,.0f} to {max(columns[0]):,.0f}"
        throughput = f"{medians.tokens_per_second:,.0f} ({spread}) | {medians.tokens_per_processor_second:,.0f}"
        say(f"| {name} | {throughput} | {medians.milliseconds_beam:.1f} | {medians.milliseconds_greedy:.1f} |")
    return {**ratios(speeds), "bleu": bleu(translations, sentences, options.reference)}


def milliseconds_single(translate: Translate, singles: Sequence[list[str]]) -> float:
    """Returns the median time to translate one sentence, in milliseconds."""
    return 1000 * median(timed(translate, [sentence])[0] for sentence in singles)


def timed(translate: Translate, batches: Sequence[list[str]]) -> tuple[float, list[str]]:
    """Translates the batches. Returns the duration in seconds, and the translations."""
    begun = time.perf_counter()
    texts = translate(batches)
    return time.perf_counter() - begun, texts


def ratios(speeds: Mapping[str, Sequence[Speed]]) -> dict[str, Any]:
    """Returns the median speeds of all engines, and ratios of this program's values to those of CTranslate2.

    In each round, this program's value is divided by the better value of CTranslate2's two modes (one worker or several
    workers). The returned ratio is the median of these quotients, or None if CTranslate2 was not measured.
    """

    def ratio(kind: str, field: str, best: Callable[..., float]) -> float | None:
        modes = [rounds for name, rounds in speeds.items() if name.startswith(f"ctranslate2-{kind}")]
        if not modes:
            return None
        rounds = zip(speeds["nmt"], *modes, strict=True)
        values = (getattr(ours, field) / best(getattr(one, field) for one in theirs) for ours, *theirs in rounds)
        return round(median(values), 2)

    def medians(field: str) -> dict[str, float]:
        return {name: round(median(getattr(speed, field) for speed in rounds), 1) for name, rounds in speeds.items()}

    return {
        **{field: medians(field) for field in Speed._fields},
        "ratio_to_ctranslate2_int8": ratio("int8", "tokens_per_second", max),
        "ratio_to_ctranslate2_float32": ratio("float32", "tokens_per_second", max),
        "latency_ratio_to_ctranslate2_int8": ratio("int8", "milliseconds_greedy", min),
        "beam_latency_ratio_to_ctranslate2_int8": ratio("int8", "milliseconds_beam", min),
    }


def count_tokens(run: Path, texts: Sequence[str]) -> int:
    """Returns the number of tokens in all translations, including one EOS for each."""
    import sentencepiece

    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(run / "vocabulary.model"))
    return sum(len(ids) + 1 for ids in tokenizer.encode(list(texts)))


def bleu(
    translations: Mapping[str, Mapping[str, str]], sentences: Sequence[str], reference: Path | None
) -> dict[str, float]:
    """Returns the BLEU score of each engine, or an empty dictionary without a reference."""
    if reference is None:
        return {}
    import sacrebleu

    references = reference.read_text(encoding="utf-8").splitlines()[: len(sentences)]
    return {
        name: round(sacrebleu.corpus_bleu([texts[sentence] for sentence in sentences], [references]).score, 2)
        for name, texts in translations.items()
    }


def first_answer(version: Path, sentence: str) -> list[float]:
    """Returns the seconds that a new process needs to import TensorFlow, and then to load an export and translate."""
    command = [sys.executable, "-W", "ignore", "-c", FIRST_ANSWER, str(version), sentence]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [round(seconds, 1) for seconds in json.loads(done.stdout.splitlines()[-1])]


def say(line: str) -> None:
    """Writes a line to stderr."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
