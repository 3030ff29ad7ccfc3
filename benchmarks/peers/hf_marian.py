"""Measures Hugging Face's `MarianMTModel` on PyTorch.

The model is trained in an eager loop over prepared batches, with fused Adam and autocast to bfloat16.
"""

import os
from itertools import cycle

import torch
import transformers

from benchmarks.measuring import BOS, EOS, PAD, VOCABULARY_SIZE, Batch, StepClock, read_arguments, read_batches


def build() -> torch.nn.Module:
    """Returns an untrained Transformer base with tied embeddings."""
    return transformers.MarianMTModel(
        transformers.MarianConfig(
            vocab_size=VOCABULARY_SIZE,
            decoder_vocab_size=VOCABULARY_SIZE,
            d_model=512,
            encoder_layers=6,
            decoder_layers=6,
            encoder_ffn_dim=2048,
            decoder_ffn_dim=2048,
            encoder_attention_heads=8,
            decoder_attention_heads=8,
            dropout=0.1,
            attention_dropout=0.0,
            activation_dropout=0.0,
            activation_function="relu",
            max_position_embeddings=128,
            scale_embedding=True,
            share_encoder_decoder_embeddings=True,
            tie_word_embeddings=True,
            pad_token_id=PAD,
            bos_token_id=BOS,
            eos_token_id=EOS,
            decoder_start_token_id=BOS,
            forced_eos_token_id=None,
            use_cache=False,
        )
    )


def main() -> None:
    """Trains until enough steps are measured, and prints the result."""
    arguments = read_arguments(__doc__)
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    model = build().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.98), fused=True)
    loss_function = torch.nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=0.1)

    def step(batch: Batch) -> float:
        source, target, labels = (torch.from_numpy(ids).long() for ids in batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bfloat16"):
            attended = (source != PAD).long()
            logits = model(input_ids=source, attention_mask=attended, decoder_input_ids=target).logits
        loss = loss_function(logits.view(-1, VOCABULARY_SIZE).float(), labels.view(-1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    clock = StepClock(arguments.seconds)
    for batch in cycle(read_batches(arguments.data, arguments.tokens)):
        step(batch)
        if clock.step_done(batch.target_tokens):
            break
    parameters = sum(weight.numel() for weight in model.parameters())
    clock.report({"torch": torch.__version__, "transformers": transformers.__version__}, parameters)


if __name__ == "__main__":
    main()
