"""Trains the language model of nanoGPT on characters, with the recipe for a CPU in nanoGPT's README, on PyTorch.

The model and the recipe are written anew from their description: GPT-2 with four layers of width 128, blocks of 64
characters, 12 blocks a step, AdamW, no dropout and no biases. Like nanoGPT, it evaluates both splits on some random
blocks at intervals, and then saves the weights if the validation loss has fallen. `train` writes the weights, and
`evaluate` prints their loss on the whole validation text.
"""

import argparse
import json
import math
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

LAYERS, HEADS, WIDTH, BLOCK, BATCH = 4, 4, 128, 64, 12
HIGHEST_RATE, LOWEST_RATE, WARMUP_STEPS = 1e-3, 1e-4, 100
BETAS, WEIGHT_DECAY, CLIP_NORM = (0.9, 0.99), 0.1, 1.0
EVALUATIONS, EVALUATION_BATCHES = 8, 20
ROWS_AT_ONCE = 256  # of an evaluation on the whole text


class Attention(nn.Module):
    """Causal self-attention with several heads."""

    def __init__(self) -> None:
        super().__init__()
        self.queries_keys_values = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.output = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attends from each position to itself and those before it, [B, T, D] -> [B, T, D]."""
        rows, length, _ = x.shape
        parts = self.queries_keys_values(x).view(rows, length, 3, HEADS, WIDTH // HEADS)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)  # [B, H, T, D/H] each
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        return self.output(mixed.transpose(1, 2).reshape(rows, length, WIDTH))


class Layer(nn.Module):
    """Attention and a feed-forward network with GELU, each behind a normalisation and beside a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention = nn.LayerNorm(WIDTH, bias=False)
        self.attention = Attention()
        self.before_feed_forward = nn.LayerNorm(WIDTH, bias=False)
        self.inner = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.output = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Computes one layer, [B, T, D] -> [B, T, D]."""
        x = x + self.attention(self.before_attention(x))
        return x + self.output(functional.gelu(self.inner(self.before_feed_forward(x))))


class LanguageModel(nn.Module):
    """GPT-2: learned positions, layers with normalisation first, and output weights tied to the embedding."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, WIDTH)
        self.positions = nn.Embedding(BLOCK, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.normalization = nn.LayerNorm(WIDTH, bias=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                ends_residual = name.endswith("output.weight")
                nn.init.normal_(weight, std=0.02 / (math.sqrt(2 * LAYERS) if ends_residual else 1))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Returns the logits of the next characters, [B, T] -> [B, T, V]."""
        x = self.embedding(ids) + self.positions(torch.arange(ids.shape[1]))
        for layer in self.layers:
            x = layer(x)
        return functional.linear(self.normalization(x), self.embedding.weight)

    def losses(self, ids: torch.Tensor) -> torch.Tensor:
        """Returns the loss in nats of each character but the first of each row, [B, T + 1] -> [B, T]."""
        return functional.cross_entropy(self(ids[:, :-1]).transpose(1, 2), ids[:, 1:], reduction="none")


def read_splits(data: Path) -> tuple[int, torch.Tensor, torch.Tensor]:
    """Returns the number of characters of the vocabulary, and the ids of the training and the validation text."""
    texts = [(data / name).read_text(encoding="utf-8") for name in ("train.txt", "validation.txt")]
    ids = {character: i for i, character in enumerate(sorted(set("".join(texts))))}
    train, validation = (torch.tensor([ids[character] for character in text]) for text in texts)
    return len(ids), train, validation


def random_blocks(ids: torch.Tensor) -> torch.Tensor:
    """Returns a batch of random blocks of a text, with the character that follows each: [BATCH, BLOCK + 1]."""
    starts = torch.randint(len(ids) - BLOCK, (BATCH,))
    return ids[starts[:, None] + torch.arange(BLOCK + 1)]


def learning_rate(step: int, steps: int) -> float:
    """Returns the rate of a step, counted from 0: it rises linearly, then falls along a cosine."""
    if step < WARMUP_STEPS:
        return HIGHEST_RATE * (step + 1) / (WARMUP_STEPS + 1)
    share = (step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)
    return LOWEST_RATE + 0.5 * (1 + math.cos(math.pi * share)) * (HIGHEST_RATE - LOWEST_RATE)


@torch.no_grad()
def estimated_loss(model: LanguageModel, ids: torch.Tensor) -> float:
    """Returns the mean loss on some random blocks of a text."""
    return sum(float(model.losses(random_blocks(ids)).mean()) for _ in range(EVALUATION_BATCHES)) / EVALUATION_BATCHES


def train(data: Path, out: Path, steps: int, seed: int) -> None:
    """Trains, and writes the weights with the lowest estimate of the validation loss to `out`."""
    torch.manual_seed(seed)
    characters, text, validation = read_splits(data)
    model = LanguageModel(characters)
    matrices = [weight for weight in model.parameters() if weight.dim() >= 2]
    gains = [weight for weight in model.parameters() if weight.dim() < 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": gains, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=HIGHEST_RATE, betas=BETAS)
    lowest = math.inf
    for step in range(steps + 1):
        if step % max(1, steps // EVALUATIONS) == 0:
            estimates = [estimated_loss(model, ids) for ids in (text, validation)]
            if step and estimates[1] < lowest:
                lowest = estimates[1]
                torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, out)
        if step == steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = model.losses(random_blocks(text)).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()  # nanoGPT reads the loss of each step to print it


@torch.no_grad()
def text_loss(model: LanguageModel, ids: torch.Tensor, stride: int) -> float:
    """Returns the mean loss of the characters of a text but the first.

    The text is read in blocks that begin every `stride` characters. Of each block after the first, only the last
    `stride` characters count.
    """
    losses: list[torch.Tensor] = []
    starts = torch.arange(0, max(1, len(ids) - 1 - (BLOCK - stride)), stride)
    for some in starts.split(ROWS_AT_ONCE):
        places = some[:, None] + torch.arange(BLOCK + 1)
        found = model.losses(ids[places.clamp(max=len(ids) - 1)])
        counts = (places[:, 1:] < len(ids)) & ((some[:, None] == 0) | (torch.arange(BLOCK) >= BLOCK - stride))
        losses.append(found[counts])
    return float(torch.cat(losses).double().mean())


def main() -> None:
    """Trains a model, or evaluates it and prints the losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("train", "evaluate"))
    parser.add_argument("--data", type=Path, required=True, help="has train.txt and validation.txt")
    parser.add_argument("--out", type=Path, required=True, help="the file of the weights")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.verb == "train":
        train(arguments.data, arguments.out, arguments.steps, arguments.seed)
        return
    characters, _, validation = read_splits(arguments.data)
    model = LanguageModel(characters)
    model.load_state_dict(torch.load(arguments.out)["model"])
    model.eval()
    losses = {
        "block_loss": text_loss(model, validation, BLOCK),
        "sliding_loss": text_loss(model, validation, BLOCK // 2),
    }
    parameters = sum(weight.numel() for weight in model.parameters())
    print(json.dumps({**losses, "parameters": parameters, "versions": {"torch": torch.__version__}}))


if __name__ == "__main__":
    main()
