"""How fast DALL·E 1 draws codes, beside dalle-pytorch 1.6.6, a GPT-2 of its size and the limit of memory.

Run      python benchmarks/dalle1_sampling.py [--peers FOLDER] [--threads 1] [--tokens 8]
Needs    nothing; dalle-pytorch and transformers are measured where they are installed
Writes   benchmarks/results/dalle1_sampling_YYYYMMDD.json

Width 512, depth 8, 8 heads of 64, 256 text and 1,024 image tokens, codebook 8,192, random weights. Tokens a
second are estimated: a step is timed at image positions 0, 512 and 980 (the best of three runs; dalle-pytorch
as it ships: once), the time of all 1,024 is interpolated, and reading the text is added. A step is network
and sampling. `floor` is the bytes a step cannot but read (weights, and the keys and values that its attention
looks at) over the measured bandwidth; `fp32_floor` takes every weight for four bytes.

Ours: the paper's MLP is 4 wide; `mlp 6` has the parameters a block that both peers have. `int8` has weights
as an int8 bundle keeps them, which is how most are drawn with: the same products in fp32, read in 16 bits.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import clock, facts, peers, read_bandwidth, seconds, show, write

from armchair.core.packing import pack, unpack
from armchair.dalle1.config import TransformerConfig
from armchair.dalle1.sampling import Decoder, choose, guided
from armchair.dalle1.transformer import Dalle1Transformer

WIDTH, DEPTH, HEADS, TEXT, GRID, VOCAB, CODES = 512, 8, 8, 256, 32, 16384, 8192
IMAGE = GRID * GRID
POSITIONS = (0, 512, 980)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, help="a folder with packages, as pip install --target makes it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--tokens", type=int, default=8, help="timed at each position; dalle-pytorch as shipped: 1"
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)

    bandwidth = read_bandwidth()
    result: dict[str, Any] = {
        **facts("dalle1_sampling"),
        "bandwidth_gb_s": round(bandwidth / 1e9, 1),
        "rows": [],
    }

    def record(
        name: str,
        dtype: str,
        batch: int,
        prefill: float,
        steps: list[float],
        read: float,
        full: float | None = None,
    ) -> None:
        positions = np.arange(IMAGE)
        total = prefill + float(np.interp(positions, POSITIONS, steps).sum())
        floor = read / bandwidth
        row = {
            "name": name,
            "dtype": dtype,
            "batch": batch,
            "tokens_s": round(batch * IMAGE / total, 2),
            "prefill_s": round(prefill, 3),
            "step_ms": [round(1e3 * t, 2) for t in steps],
            "read_mb": round(read / 1e6, 1),
            "over_floor": round(steps[1] / floor, 2),
        }
        if full is not None:
            row["over_fp32_floor"] = round(steps[1] * bandwidth / full, 2)
        result["rows"].append(row)
        show(row)

    ours(record, args.batches, args.tokens)
    dalle, transformers = peers(args.peers)
    for batch in args.batches:
        if transformers is not None:
            gpt2(transformers, record, batch, args.tokens)
        if dalle is not None:
            lucidrains(dalle, record, batch, args.tokens)
    result["ratios"] = ratios(result["rows"])
    show(result["ratios"])
    write(result)


def best(work: Callable[[], object], tokens: int) -> float:
    """Seconds a call of the fastest of three runs of so many calls."""

    def several() -> None:
        for _ in range(tokens):
            work()

    work()
    return min(seconds(several) for _ in range(3)) / tokens


def ours(record: Callable[..., None], batches: list[int], tokens: int) -> None:
    """Weights of four bytes, of two in bf16, and those of an int8 bundle."""
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
        for dtype, storage, size in (("fp32", "float32", 4), ("fp32", "int8", 2), ("bf16", "float32", 2)):
            net = Dalle1Transformer(config)
            net.load_state_dict(unpack(pack(net.state_dict(), storage)))
            decoder = Decoder(net.to(DTYPES[dtype]).eval())
            text = torch.randint(VOCAB, (1, TEXT - 1))
            for batch in batches:
                codes = torch.randint(CODES, (batch,))
                noise = torch.rand(batch)
                steps, prefill = [], 0.0
                for position in POSITIONS:
                    start = clock()
                    drawing = decoder.begin(text, torch.randint(CODES, (position,)), batch)
                    if position == 0:
                        prefill = clock() - start
                        drawing.next(None)

                    def step(drawing=drawing, codes=codes, noise=noise) -> None:
                        choose(guided(drawing.next(codes), 1.0), noise, 1.0, CODES // 2, None)

                    steps.append(best(step, tokens))
                weights = DEPTH * (4 + 2 * mlp_ratio) * WIDTH**2 + WIDTH * CODES
                pairs = {"row": GRID + 1, "column": GRID / 2, "conv": 61}
                image = sum(pairs[p] for p in config.layer_patterns)
                values = 4 * 2 * WIDTH * (DEPTH * TEXT + batch * image)  # the text's once for all images
                name = "armchair, mlp 6" if mlp_ratio == 6 else "armchair"
                read, full = size * weights + values, 4 * weights + values
                if storage == "int8":
                    record(f"{name}, int8", dtype, batch, prefill, steps, read, full)
                else:
                    record(name, dtype, batch, prefill, steps, read)


def gpt2(transformers: Any, record: Callable[..., None], batch: int, tokens: int) -> None:
    """GPT-2 as its library draws with it: generate(), dynamic cache, top-k."""
    config = transformers.GPT2Config(
        vocab_size=VOCAB + TEXT + CODES,
        n_positions=TEXT + IMAGE + 1,
        n_embd=WIDTH,
        n_layer=DEPTH,
        n_head=HEADS,
        n_inner=6 * WIDTH,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=0,
    )
    for dtype, kind in DTYPES.items():
        net = transformers.GPT2LMHeadModel(config).to(kind).eval()

        def draw(length: int, ticks: list[float], net=net) -> None:
            """Draw after so many tokens; ticks: when each of the logits were there."""
            ids = torch.randint(VOCAB, (batch, length))

            def tick(_: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
                ticks.append(clock())
                return logits

            net.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=1 + tokens,
                min_new_tokens=1 + tokens,
                do_sample=True,
                top_k=4096,
                logits_processor=transformers.LogitsProcessorList([tick]),
            )

        draw(TEXT, [])
        steps, prefill = [], 0.0
        for position in POSITIONS:
            times: list[float] = []
            for _ in range(3):
                ticks = [clock()]
                draw(TEXT + position, ticks)
                times.append((ticks[-1] - ticks[1]) / tokens)
                if position == 0:
                    prefill = ticks[1] - ticks[0]
            steps.append(min(times))
        record("GPT-2, transformers", dtype, batch, prefill, steps, _dense(batch, dtype))


def lucidrains(dalle: Any, record: Callable[..., None], batch: int, tokens: int) -> None:
    """dalle-pytorch as it ships (use_cache=True passes no cache at guidance 1), and with the cache passed."""
    vae = dalle.DiscreteVAE(image_size=256, num_layers=3, num_tokens=CODES, codebook_dim=WIDTH, hidden_dim=16)
    net = dalle.DALLE(
        dim=WIDTH, vae=vae, num_text_tokens=VOCAB, text_seq_len=TEXT, depth=DEPTH, heads=HEADS, dim_head=64
    ).eval()
    text = torch.randint(1, VOCAB, (batch, TEXT))
    image = torch.randint(CODES, (batch, IMAGE))

    def sampled(logits: torch.Tensor) -> None:
        dalle.gumbel_sample(dalle.top_k(logits[:, -1], thres=0.5), temperature=1.0, dim=-1)

    shipped, fixed, prefill = [], [], 0.0
    for position in POSITIONS:
        shown = image[:, :position]
        shipped.append(seconds(lambda s=shown: sampled(net.forward_with_cond_scale(text, s, cache={}))))
        cache: dict[str, Any] = {}
        first = seconds(lambda s=shown, c=cache: net(text, s, cache=c))
        if position == 0:
            prefill = first
        grown = iter(range(position + 1, IMAGE + 1))
        fixed.append(best(lambda n=grown, c=cache: sampled(net(text, image[:, : next(n)], cache=c)), tokens))
    record("dalle-pytorch as shipped", "fp32", batch, 0.0, shipped, _dense(batch, "fp32"))
    record("dalle-pytorch, cache passed", "fp32", batch, prefill, fixed, _dense(batch, "fp32"))


def _dense(batch: int, dtype: str) -> float:
    """Bytes that a step of either peer reads at the middle position."""
    weights = DEPTH * 16 * WIDTH**2 + WIDTH * (VOCAB + TEXT + CODES)
    return (weights + batch * DEPTH * 2 * WIDTH * (TEXT + 512)) * (4 if dtype == "fp32" else 2)


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How many times a peer's tokens a second ours are, in the same precision and batch."""
    speed = {(row["name"], row["dtype"], row["batch"]): row["tokens_s"] for row in rows}
    return {
        f"{name} over {peer}, {dtype}, batch {batch}": round(mine / speed[peer, dtype, batch], 2)
        for (name, dtype, batch), mine in speed.items()
        for peer in {name for name, _, _ in speed}
        if name.startswith("armchair") and not peer.startswith("armchair") and (peer, dtype, batch) in speed
    }


if __name__ == "__main__":
    main()
