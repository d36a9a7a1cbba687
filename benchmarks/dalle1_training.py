"""How fast DALL·E 1's transformer trains, against dalle-pytorch 1.6.6 and a GPT-2 of the same size.

Run      python benchmarks/dalle1_training.py [--peers FOLDER] [--threads 1] [--batch 4] [--steps 1]
Needs    nothing; dalle-pytorch and transformers are measured where they are installed
Writes   benchmarks/results/dalle1_training_YYYYMMDD.json

Width 512, depth 8, 8 heads of 64, 256 text and 1,024 image tokens, codebook 8,192, token ids given; a step is
forward, backward, clipping and AdamW; bf16 is autocast. The smallest time of `steps`, after one step at batch
1. Two of ours: the paper's MLP is 4 wide; `mlp 6` has the parameters a block that both peers have. Then the
attention alone, a layer of each pattern: blocks, as training computes it, against masked dense attention.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from _machine import facts, peers, seconds, show, write
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.dalle1.config import TransformerConfig
from armchair.dalle1.transformer import Dalle1Transformer
from armchair.nn.sparse import BlockedAttention, Places, block_cells, blocks_of

WIDTH, DEPTH, HEADS, TEXT, GRID, VOCAB, CODES = 512, 8, 8, 256, 32, 16384, 8192
IMAGE = GRID * GRID
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
LAYERS = {"32 x (48 + 16 x 16), 4 heads": (32, 4, 48, 16), "4 x (256 + 32 x 32), 8 heads": (4, 8, 256, 32)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, help="a folder with packages, as pip install --target makes it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    result: dict[str, Any] = {**facts("dalle1_training"), "batch": args.batch, "rows": [], "attention": []}

    for name, net, loss in networks(args.peers):
        for dtype, kind in DTYPES.items():
            best = train(net, loss, args.batch, args.steps, kind)
            row = {
                "name": name,
                "dtype": dtype,
                "samples_s": round(args.batch / best, 4),
                "step_s": round(best, 2),
                "parameters_m": round(sum(p.numel() for p in net.parameters() if p.requires_grad) / 1e6, 1),
            }
            result["rows"].append(row)
            show(row)
    for dtype, kind in DTYPES.items():
        for size, (batch, heads, text, grid) in LAYERS.items():
            for pattern in ("row", "column", "conv"):
                row = {
                    "size": size,
                    "pattern": pattern,
                    "dtype": dtype,
                    **layer(batch, heads, text, grid, pattern, kind),
                }
                result["attention"].append(row)
                show(row)
    result["ratios"] = ratios(result["rows"])
    show(result["ratios"])
    write(result)


def networks(folder: Path | None) -> Iterator[tuple[str, nn.Module, Callable[[int], Tensor]]]:
    """A name, a network, and its loss on a batch of random tokens."""
    for mlp_ratio in (4, 6):
        config = TransformerConfig(
            text_vocab=VOCAB,
            image_vocab=CODES,
            text_length=TEXT,
            grid=GRID,
            width=WIDTH,
            depth=DEPTH,
            heads=HEADS,
            mlp_ratio=mlp_ratio,
        )
        yield "armchair" if mlp_ratio == 4 else "armchair, mlp 6", *ours(config)
    dalle, transformers = peers(folder)
    if transformers is not None:
        yield "GPT-2, transformers", *gpt2(transformers)
    if dalle is not None:
        yield "dalle-pytorch", *lucidrains(dalle)


def ours(config: TransformerConfig) -> tuple[nn.Module, Callable[[int], Tensor]]:
    net = Dalle1Transformer(config)

    def loss(batch: int) -> Tensor:
        tokens, codes = torch.randint(VOCAB, (batch, TEXT - 1)), torch.randint(CODES, (batch, IMAGE))
        text, image = net(tokens, codes)
        text = F.cross_entropy(text.flatten(0, 1), tokens.flatten())
        return text / 8 + 7 / 8 * F.cross_entropy(image.flatten(0, 1), codes.flatten())

    return net, loss


def gpt2(transformers: Any) -> tuple[nn.Module, Callable[[int], Tensor]]:
    config = transformers.GPT2Config(
        vocab_size=VOCAB + TEXT + CODES,
        n_positions=TEXT + IMAGE,
        n_embd=WIDTH,
        n_layer=DEPTH,
        n_head=HEADS,
        n_inner=6 * WIDTH,
        tie_word_embeddings=False,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    net = transformers.GPT2LMHeadModel(config)

    def loss(batch: int) -> Tensor:
        ids = torch.randint(VOCAB, (batch, TEXT + IMAGE))
        return net(input_ids=ids, labels=ids).loss

    return net, loss


def lucidrains(dalle: Any) -> tuple[nn.Module, Callable[[int], Tensor]]:
    vae = dalle.DiscreteVAE(image_size=256, num_layers=3, num_tokens=CODES, codebook_dim=WIDTH, hidden_dim=16)
    net = dalle.DALLE(
        dim=WIDTH,
        vae=vae,
        num_text_tokens=VOCAB,
        text_seq_len=TEXT,
        depth=DEPTH,
        heads=HEADS,
        dim_head=64,
        attn_types=("axial_row", "axial_col", "axial_row", "conv_like"),
    )

    def loss(batch: int) -> Tensor:
        text, image = torch.randint(1, VOCAB, (batch, TEXT)), torch.randint(CODES, (batch, IMAGE))
        return net(text, image, return_loss=True)

    return net, loss


def train(net: nn.Module, loss: Callable[[int], Tensor], batch: int, steps: int, kind: torch.dtype) -> float:
    """Seconds of the fastest step."""
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)

    def step(batch: int) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
            value = loss(batch)
        value.backward()
        nn.utils.clip_grad_norm_(trained, 4.0)
        optimizer.step()
        optimizer.zero_grad()

    step(1)
    return min(seconds(lambda: step(batch)) for _ in range(steps))


def layer(batch: int, heads: int, text: int, grid: int, pattern: str, kind: torch.dtype) -> dict[str, Any]:
    """Milliseconds of attention, forward and backward, as training computes it and in the dense form."""
    places = Places(pattern, text, grid, grid * grid)
    block = block_cells(places, kind)
    mask = places.mask()
    qkv = torch.randn(batch, text + grid * grid, 3, heads, 64, dtype=kind, requires_grad=True)

    def run(blocked: bool) -> None:
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        if blocked:
            out = BlockedAttention.apply(q, k, v, blocks_of(places, block))
        else:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out.backward(torch.ones_like(out))
        qkv.grad = None

    def best(blocked: bool) -> float:
        run(blocked)
        return round(1e3 * min(seconds(lambda: run(blocked)) for _ in range(3)), 1)

    dense = best(False)
    return {"dense_ms": dense, "ours_ms": best(True) if block is not None else dense, "block_cells": block}


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    speed = {(row["name"], row["dtype"]): row["samples_s"] for row in rows}
    return {
        f"{name} over {peer}, {dtype}": round(mine / speed[peer, dtype], 2)
        for (name, dtype), mine in speed.items()
        for peer in {name for name, _ in speed}
        if name.startswith("armchair") and not peer.startswith("armchair")
    }


if __name__ == "__main__":
    main()
