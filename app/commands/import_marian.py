"""`nmt import-marian`: a published Marian model becomes a run."""

import argparse
from pathlib import Path
from typing import Any


def add_parser(verbs: Any) -> None:
    """Describes the command."""
    parser = verbs.add_parser(
        "import-marian",
        help="make a run of a published Marian model (OPUS-MT)",
        description="Makes a run of a Hugging Face MarianMTModel, as OPUS-MT publishes them for many languages: of "
        "config.json, vocab.json, source.spm, target.spm, and model.safetensors or pytorch_model.bin. It translates, "
        "scores and is exported like one that was trained here. Needs the extra [marian], and PyTorch for "
        "pytorch_model.bin.",
        epilog="example: nmt import-marian opus-mt-en-de --out run",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="the folder of the model's files")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the run's folder")
    parser.add_argument(
        "--pair", metavar="SRC-TRG", help="its languages, such as en-de (default: those of tokenizer_config.json)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Imports, and says where the run is."""
    from app.runtime.tensorflow_start import import_tensorflow

    import_tensorflow()
    from app.importing.marian import import_marian
    from pipelines.sources.corpora import LanguagePair

    pair = LanguagePair.parse(arguments.pair) if arguments.pair else None
    print(import_marian(arguments.directory, arguments.out, pair).path)
