"""Files of artificial Marian models: random weights, and SentencePiece models of the bundled sentences."""

import io
import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from keras_nmt.pipelines.sources.corpora import LanguagePair, open_corpus

Array = np.ndarray[Any, Any]
Tensors = dict[str, Array]


def sentences(count: int) -> list[tuple[str, str]]:
    """Returns the first English and German pairs of the bundled corpus."""
    corpus = open_corpus("sample:tatoeba-en-de", LanguagePair("en", "de"))
    return [(english.decode(), german.decode()) for english, german, *_ in islice(corpus, count)]


def write_tokenizer(folder: Path, *, count: int, size: int, codes: Sequence[str] = (), table_size: int = 0) -> int:
    """Writes source.spm, target.spm and vocab.json, and returns the number of pieces.

    As in OPUS-MT, </s> and <unk> are first, <pad> is last, and a piece that both languages have gets one id.
    """
    pieces = dict.fromkeys(["</s>", "<unk>"])
    for name, side in zip(("source", "target"), zip(*sentences(count), strict=True), strict=True):
        (folder / f"{name}.spm").write_bytes(trained(side, size))
        processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.spm"))
        ordinary = (i for i in range(len(processor)) if not processor.is_control(i) and not processor.is_unknown(i))
        pieces.update(dict.fromkeys(processor.id_to_piece(i) for i in ordinary))
    every = [*pieces, *codes]
    every += [f"▁filler{i}" for i in range(table_size - len(every) - 1)]
    table = {piece: i for i, piece in enumerate([*every, "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"source_lang": "en", "target_lang": "de"}))
    return len(table)


def trained(side: Iterable[str], size: int) -> bytes:
    """Trains a SentencePiece model as OPUS-MT does: without byte fallback."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(side),
        model_writer=model,
        vocab_size=size,
        character_coverage=1.0,
        num_threads=2,
        minloglevel=2,
    )
    return model.getvalue()


def config(pieces: int, **changes: Any) -> dict[str, Any]:
    """Returns the config.json of a small model."""
    return {
        "model_type": "marian",
        "vocab_size": pieces,
        "decoder_vocab_size": pieces,
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "encoder_ffn_dim": 23,
        "decoder_ffn_dim": 23,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "activation_function": "swish",
        "max_position_embeddings": 64,
        "scale_embedding": True,
        "share_encoder_decoder_embeddings": True,
        "tie_word_embeddings": True,
        "static_position_embeddings": True,
        "normalize_before": False,
        "pad_token_id": pieces - 1,
        "eos_token_id": 0,
        "decoder_start_token_id": pieces - 1,
        "num_beams": 3,
        **changes,
    }


def random_tensors(settings: dict[str, Any], seed: int = 0) -> Tensors:
    """Returns random tensors by their Hugging Face names; none is 0 or 1, except the embedding of <pad>."""
    width, inner, pieces = settings["d_model"], settings["encoder_ffn_dim"], settings["vocab_size"]
    draw = np.random.default_rng(seed).standard_normal
    tensors = {"model.shared.weight": draw((pieces, width)) * width**-0.5, "final_logits_bias": draw((1, pieces))}
    tensors["model.shared.weight"][-1] = 0.0
    shapes = {"fc1": (inner, width), "fc2": (width, inner)}
    for stack in ("encoder", "decoder"):
        attentions = ["self_attn", "encoder_attn"][: 1 + (stack == "decoder")]
        projections = {f"{name}.{part}_proj": (width, width) for name in attentions for part in ("q", "k", "v", "out")}
        for i in range(settings[f"{stack}_layers"]):
            prefix = f"model.{stack}.layers.{i}"
            for name, shape in (projections | shapes).items():
                tensors[f"{prefix}.{name}.weight"] = draw(shape) * shape[1] ** -0.5
                tensors[f"{prefix}.{name}.bias"] = draw(shape[0]) / 2
            for name in (*(f"{attention}_layer_norm" for attention in attentions), "final_layer_norm"):
                tensors[f"{prefix}.{name}.weight"] = 1 + draw(width) / 4
                tensors[f"{prefix}.{name}.bias"] = draw(width) / 4
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
