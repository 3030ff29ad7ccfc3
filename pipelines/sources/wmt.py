"""Corpora from TensorFlow Datasets (TFDS): translations, mainly those of WMT, and summaries.

A SPEC is `tfds:NAME/CONFIG[SUBSETS]:SPLIT`, such as `tfds:wmt14_translate/de-en`, `tfds:cnn_dailymail`.

TensorFlow and TFDS are imported only when a corpus is opened, because the import takes seconds.
"""

import re
from collections.abc import Iterator
from typing import Any

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.language_codes import match
from keras_nmt.pipelines.sources.corpus import Corpus, CorpusRequest, LanguagePair, RawPair
from keras_nmt.pipelines.sources.files import first_line
from keras_nmt.pipelines.sources.text import in_one_line

_SPLITS = {"dev": "validation"}  # our names of splits -> the names in TFDS, where they differ
_SUMMARY_PAIR = ("text", "summary")  # the codes of a language pair that read a data set of summaries
_READ_AT_ONCE = 1024  # pairs per batch; if each pair were read singly, the overhead of tf.data would dominate


def open_tfds(request: CorpusRequest) -> Corpus:
    """Opens a TFDS data set of translations or summaries. On first use, TFDS downloads and prepares the data set.

    The languages of the pair name the features of the data set. For the pair text-summary, the features are the
    supervised keys of the data set, whatever their names: `article` and `highlights` in cnn_dailymail.

    Raises:
        DataError: TFDS does not have the data set, the split or a subset, cannot download the data set, or has it only
            in other languages or without summaries.
    """
    spec, pair = request.spec, request.pair
    name, _, chosen = request.name.partition(":")
    builder = _builder(spec, name, request.tfds_dir)
    is_summary = sorted((pair.source, pair.target)) == sorted(_SUMMARY_PAIR)
    source, target = (_summary_features if is_summary else _language_features)(spec, builder, pair)
    split = chosen or _SPLITS.get(request.split, request.split)
    _prepare(spec, builder)
    splits = builder.info.splits  # empty in the mock data of tfds.testing, which accepts any split
    if splits and split.partition("[")[0] not in splits:
        raise DataError(f"corpus {spec} has no split {split!r}; it has {', '.join(splits)}")
    identity = ("tfds", str(pair), builder.info.full_name, split)
    return Corpus(spec, _origin(spec, builder, split), identity, lambda: _read(builder, split, source, target))


def _language_features(spec: str, builder: Any, pair: LanguagePair) -> tuple[str, str]:
    """Returns the names of the features that contain the source and the target of a translation."""
    languages = sorted(builder.info.features or ())
    source, target = (match(language, languages) for language in (pair.source, pair.target))
    if source is None or target is None or source == target:
        raise DataError(f"corpus {spec} is in {' and '.join(languages)}, not {pair}; choose another configuration")
    return source, target


def _summary_features(spec: str, builder: Any, pair: LanguagePair) -> tuple[str, str]:
    """Returns the names of the features that contain the source and the target of a summary, in either direction."""
    from tensorflow_datasets.core.features import Text, Translation

    features, keys = builder.info.features, builder.info.supervised_keys or ()
    are_texts = all(isinstance(key, str) and isinstance(features[key], Text) for key in keys)
    if len(keys) != len(_SUMMARY_PAIR) or not are_texts or isinstance(features, Translation):
        raise DataError(
            f"corpus {spec} is no data set of summaries: expected a text and its summary as supervised keys, got "
            f"{' and '.join(map(str, keys)) or 'none'}; choose one such as tfds:xsum"
        )
    names = dict(zip(_SUMMARY_PAIR, keys, strict=True))
    return names[pair.source], names[pair.target]


def _builder(spec: str, name: str, tfds_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    found = re.fullmatch(r"([^\[\]]+)(?:\[([^\[\]]*)\])?", name)
    if not found:
        raise DataError(f"corpus {spec}: expected tfds:NAME/CONFIG[SUBSET,SUBSET], got tfds:{name}")
    name, subsets = found.groups()
    try:
        builder = tfds.builder(name, data_dir=tfds_dir)
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        raise DataError(f"corpus {spec}: TFDS cannot open {name!r} ({first_line(error)})") from error
    return builder if subsets is None else _with_subsets(spec, builder, subsets.split(","), tfds_dir)


def _with_subsets(spec: str, builder: Any, chosen: list[str], tfds_dir: str | None) -> Any:
    """Returns a TFDS builder for the chosen training corpora of a WMT task. The builder has only the split `train`."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.translate import wmt

    if not isinstance(builder, wmt.WmtTranslate):
        raise DataError(f"corpus {spec}: only the WMT tasks of TFDS have subsets; leave out [{','.join(chosen)}]")
    task = builder.builder_config
    known = builder.subsets["train"]
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise DataError(f"corpus {spec} has no subset {unknown[0]!r}; it has {', '.join(known)}")
    names = [name for name in known if name in chosen]
    config = wmt.WmtConfig(
        name="+".join(names),
        version="1.0.0",
        url=task.url,
        citation=task.citation,
        language_pair=task.language_pair,
        subsets={"train": names},
    )
    return tfds.builder("wmt_translate", config=config, data_dir=tfds_dir)


def _prepare(spec: str, builder: Any) -> None:
    """Downloads and prepares the data set if necessary. TFDS shows the progress on stderr."""
    try:
        builder.download_and_prepare()
    except Exception as error:  # the download errors of TFDS have no common base class
        raise DataError(
            f"corpus {spec}: TFDS could not download or prepare it ({first_line(error)}); check the network, or put "
            f"{_archives(builder)} into {builder.data_dir_root / 'downloads' / 'manual'}, or the prepared data into "
            f"{builder.data_path}; --tfds-dir names another place than {builder.data_dir_root}"
        ) from error


def _archives(builder: Any) -> str:
    """Returns the names of files that the user can put into TFDS' folder of manual downloads, for error messages."""
    from tensorflow_datasets.core.download import checksums
    from tensorflow_datasets.translate import wmt

    if not isinstance(builder, wmt.WmtTranslate):
        return "the files named on its page"
    source = builder.builder_config.language_pair[0]
    subsets = [wmt.DATASET_MAP[name] for names in builder.subsets.values() for name in names]
    known = checksums.get_all_url_infos()
    urls = [url for subset in subsets if not subset.get_manual_dl_files(source) for url in subset.get_url(source)]
    files = [f"{known[url].filename} (from {url})" for url in dict.fromkeys(urls) if url in known]
    files += [f"{file} (from {s.get_url(source)[0]})" for s in subsets for file in s.get_manual_dl_files(source)]
    return ", ".join(files)


def _origin(spec: str, builder: Any, split: str) -> dict[str, Any]:
    info = builder.info
    return {
        "kind": "tfds",
        "spec": spec,
        "name": info.full_name,
        "split": split,
        "pairs": int(info.splits[split].num_examples) if info.splits else None,
        "bytes": int(info.dataset_size or 0),
        "homepage": info.homepage,
        "licence": getattr(info.redistribution_info, "license", None) or "see the homepage",
        "attribution": info.citation,
    }


def _read(builder: Any, split: str, *features: str) -> Iterator[RawPair]:
    examples = builder.as_dataset(split=split, shuffle_files=False)
    for block in examples.batch(_READ_AT_ONCE).prefetch(2).as_numpy_iterator():
        for source, target in zip(*(block[feature] for feature in features), strict=True):
            yield RawPair(in_one_line(source), in_one_line(target))
