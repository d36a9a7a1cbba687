"""How fast DALL·E 3's latent U-Net trains, beside a training step of diffusers with the same network.

Run      python benchmarks/dalle3_training.py [--peers FOLDER ...] [--threads 1] [--rounds 2] [--batch 8]
Needs    diffusers and transformers
Writes   benchmarks/results/dalle3_training_YYYYMMDD.json

The U-Net of dalle3_drawing.py, its weights imported. A step is noise, forward, mean squared error, backward,
clipping at 1 and AdamW, torch's as it comes for theirs and `armchair train`'s for ours, latents of 32 x 32
cells and 77 text states given; bf16 is autocast. The two take turns, one step each a round after one that
warms up, and the best round counts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _machine import console, facts, seconds, show, write
from torch import Tensor, nn
from torch.nn import functional as F

WORDS, LR = 77, 1e-5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, nargs="*", default=[], help="folders made with pip --target")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    args = parser.parse_args()
    sys.path += [str(folder) for folder in args.peers]
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    from _diffusers import SMALL

    with tempfile.TemporaryDirectory() as folder:
        networks = made(Path(folder), SMALL)
    result: dict[str, Any] = {**facts("dalle3_training"), "batch": args.batch, "rows": [], "ratios": {}}
    for dtype in ("fp32", "bf16"):
        steps = {
            name: step_of(net, say, optimizer(net), args.batch, SMALL, dtype == "bf16")
            for name, (net, say, optimizer) in networks.items()
        }
        best = dict.fromkeys(steps, float("inf"))
        for step in steps.values():
            step()
        for _ in range(args.rounds):
            for name, step in steps.items():
                best[name] = min(best[name], seconds(step))
        for name, time in best.items():
            row = {"name": name, "dtype": dtype, "step_s": round(time, 3)}
            result["rows"].append({**row, "samples_s": round(args.batch / time, 3)})
            show(result["rows"][-1])
        result["ratios"][dtype] = round(best["diffusers"] / best["armchair"], 2)
    show(result["ratios"])
    write(result)


Said = Callable[[Tensor, Tensor, Tensor], Tensor]  # x, t and text states -> what the network says
Contender = tuple[nn.Module, Said, Callable[[nn.Module], Callable[[], None]]]  # and how it is updated


def made(folder: Path, sizes: dict[str, Any]) -> dict[str, Contender]:
    """Both networks, ready to train."""
    from _diffusers import stable_diffusion

    from armchair.dalle3.denoiser import Denoiser, Read
    from armchair.dalle3.parts import load_part
    from armchair.weights.importing.run import import_weights

    theirs = stable_diffusion(folder / "theirs", sizes).unet
    bundle = import_weights(str(folder / "theirs"), folder / "ours")
    ours = load_part(bundle, "latent", torch.device("cpu"), torch.float32)
    assert isinstance(ours, Denoiser)

    def say(x: Tensor, t: Tensor, words: Tensor) -> Tensor:
        keep = torch.ones(words.shape[:2], dtype=torch.bool)
        return ours(x, t, **ours.conditions(Read(words, keep), None))

    return {
        "armchair": (ours.train().requires_grad_(), say, own_adamw),
        "diffusers": (
            theirs.train(),
            lambda x, t, words: theirs(x, t, encoder_hidden_states=words).sample,
            plain_adamw,
        ),
    }


def own_adamw(net: nn.Module) -> Callable[[], None]:
    from armchair.train import OptimConfig
    from armchair.train.optim import build_optimizers

    optimizers = build_optimizers(OptimConfig(name="adamw", lr=LR), net)

    def update() -> None:
        optimizers.step(1.0)
        optimizers.zero_grad()

    return update


def plain_adamw(net: nn.Module) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR)

    def update() -> None:
        optimizer.step()
        optimizer.zero_grad()

    return update


def step_of(
    net: nn.Module, say: Said, update: Callable[[], None], batch: int, sizes: dict[str, Any], half: bool
) -> Callable[[], object]:
    """A training step on random latents."""
    cells = sizes["cells"]

    def step() -> None:
        x0, eps = torch.randn(2, batch, 4, cells, cells)
        t, words = torch.randint(0, 1000, (batch,)), torch.randn(batch, WORDS, sizes["clip"][0])
        alpha_bar = (torch.cos(t / 1000 * torch.pi / 2) ** 2)[:, None, None, None]
        x = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            said = say(x, t, words)
        F.mse_loss(said.float(), eps).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        update()

    return step


if __name__ == "__main__":
    main()
    console.print("done")
