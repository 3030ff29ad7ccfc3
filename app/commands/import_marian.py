"""`nmt import-marian`: creates a run from a published Marian model."""

import argparse
from pathlib import Path

from keras_nmt.app.arguments import Verbs


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt import-marian` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "import-marian",
        help="make a run from a published Marian model (OPUS-MT)",
        description="Makes a run from the files of a Hugging Face MarianMTModel, as OPUS-MT publishes them for many "
        "languages: config.json, vocab.json, source.spm, target.spm, and model.safetensors or pytorch_model.bin. The "
        "run translates, scores and is exported like one that was trained here. Needs the extra [marian], and PyTorch "
        "for pytorch_model.bin.",
        epilog="example: nmt import-marian opus-mt-en-de --out run",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder of the model's files")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--pair",
        metavar="SRC-TRG",
        help="languages, such as en-de (default: those of tokenizer_config.json)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Imports the model, and prints the path of the run."""
    from keras_nmt.app.runtime.tensorflow_start import import_tensorflow

    import_tensorflow()
    from keras_nmt.app.importing.marian import import_marian
    from keras_nmt.pipelines.sources.corpora import LanguagePair

    pair = LanguagePair.parse(arguments.pair) if arguments.pair else None
    print(import_marian(arguments.directory, arguments.out, pair).path)
