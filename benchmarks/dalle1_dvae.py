"""The dVAE's speed at the released size, drawing and training, with lucidrains' DiscreteVAE beside it.

Run      python benchmarks/dalle1_dvae.py [--peers FOLDER] [--fast]
Needs    4 GB of memory; for the comparison dalle-pytorch 1.6.6 in a folder (benchmarks/_peers.py says how)
Takes    two minutes of one core; --fast leaves out training at the released size
Writes   benchmarks/results/dalle1_dvae_YYYYMMDD.json

One thread, random weights. Drawing and DiscreteVAE run in a process as it is; our training, last, keeps
freed memory as `armchair train` does (core/memory.py). Times are processor seconds, the least of all runs:
on a busy machine they say more than the clock. A floor is FLOPs over the speed of a matrix product of 2048
measured in the same process. Networks of different size are compared by the FLOPs that they do in a second.
Two counts: `done`, what is computed, and `paper`, what the network costs as the paper writes it down: our
decoder leaves out work that changes nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _machine import console, facts, seconds, write
from _peers import dalle_pytorch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from armchair.core.memory import keep_blocks
from armchair.core.rng import SeedBatch
from armchair.core.task import Batch
from armchair.dalle1.config import DVAEConfig
from armchair.dalle1.dvae import DVAE, Block
from armchair.dalle1.dvae_task import DVAETask, DVAETaskConfig

AIM = 3.0  # times the FLOPs a second of DiscreteVAE in training
PUBLISHED_FLOORS = {"encode": 1.32, "decode": 1.25}  # openai/DALL-E's own code, times its floor, one core
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def least(work: Callable[[], object], repeat: int) -> float:
    """The least seconds of `repeat` calls."""
    return min(seconds(work) for _ in range(repeat))


def peak(dtype: torch.dtype) -> float:
    """GFLOP/s of a product of two 2048 x 2048 matrices."""
    a = torch.randn(2048, 2048, dtype=dtype)
    return 2 * 2048**3 / 1e9 / least(lambda: a @ a, 6)


def flops(work: Callable[[], object]) -> float:
    """GFLOP of a call, backward passes too, counted on arrays without memory: it must make its own."""
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9


def left_out(net: DVAE) -> float:
    """GFLOP a picture that the decoder leaves out: what is pointwise, on three of a pixel's four copies."""
    total, side = 0.0, net.config.grid
    for block in net.decoder.modules():
        if isinstance(block, Block) and isinstance(block.grow, torch.nn.Upsample):
            convs = [block.id_path, block.res_path.get_submodule("conv_1")]
            total += 3 * 2 * side**2 * sum(conv.weight.numel() for conv in convs)
            side *= 2
    return total / 1e9


def drawing(gemm: float) -> dict[str, Any]:
    """Encode and decode one picture at the released size in fp32."""
    net = DVAE(DVAEConfig()).eval()
    found = {}
    for name, make, less in (
        ("encode", lambda: torch.rand(1, 3, 256, 256), 0.0),
        ("decode", lambda: torch.zeros(1, 32, 32, dtype=torch.int64), left_out(net)),
    ):
        done = flops(lambda name=name, make=make: getattr(DVAE(DVAEConfig()), name)(make()))
        given = make()
        spent = least(lambda name=name, given=given: getattr(net, name)(given), 2)
        found[name] = {
            "seconds": round(spent, 3),
            "gflop": {"done": round(done, 1), "paper": round(done + less, 1)},
            "times_floor": {
                "done": round(spent * gemm / done, 2),
                "paper": round(spent * gemm / (done + less), 2),
            },
            "times_floor_published_code": PUBLISHED_FLOORS[name],
        }
    return found


def ours(config: DVAEConfig, batch: int, dtype: torch.dtype, repeat: int) -> dict[str, Any]:
    """A training step of our task: loss and gradients."""
    task = DVAETask(DVAETaskConfig(net=config))
    size = config.image_size
    image = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    data = Batch({"image": image}, list(range(batch)), 0, {"samples": float(batch)})

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss, _ = task.loss(data, SeedBatch(range(batch)))
        loss.backward()
        task.net.zero_grad()

    def graph() -> None:
        net = DVAE(config)
        mu, log_scale = net.decoder(net.encoder(torch.rand(batch, 3, size, size)).softmax(1))
        (mu + log_scale).sum().backward()

    spent, done = least(step, repeat), flops(graph)
    return report(batch, spent, done, done + 3 * batch * left_out(task.net))


def theirs(module: Any, dtype: torch.dtype, repeat: int) -> dict[str, Any]:
    """A training step of DiscreteVAE: 8,192 codes, width 64, one residual block, batch 4."""
    settings = {
        "image_size": 256,
        "num_layers": 3,
        "num_tokens": 8192,
        "codebook_dim": 512,
        "hidden_dim": 64,
        "num_resnet_blocks": 1,
    }
    net, image = module.DiscreteVAE(**settings), torch.rand(4, 3, 256, 256)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = net(image, return_loss=True)
        loss.backward()
        net.zero_grad()

    def graph() -> None:
        module.DiscreteVAE(**settings)(torch.rand(4, 3, 256, 256), return_loss=True).backward()

    spent, done = least(step, repeat), flops(graph)
    return report(4, spent, done, done)


def report(batch: int, spent: float, done: float, paper: float) -> dict[str, Any]:
    return {
        "batch": batch,
        "seconds": round(spent, 3),
        "samples_per_second": round(batch / spent, 4),
        "gflop": {"done": round(done, 1), "paper": round(paper, 1)},
        "gflop_per_second": {"done": round(done / spent, 1), "paper": round(paper / spent, 1)},
    }


def training(peers: Path | None, fast: bool) -> dict[str, Any]:
    module = dalle_pytorch(peers)
    small = DVAEConfig(width=64, blocks=1)  # as wide as DiscreteVAE
    found: dict[str, Any] = {}
    for name, dtype in DTYPES.items():
        found[name] = {} if module is None else {"discrete_vae": theirs(module, dtype, 2)}
    keep_blocks()
    for name, dtype in DTYPES.items():
        rows = found[name]
        rows["ours_width_64"] = ours(small, 4, dtype, 2)
        if not fast:
            rows["ours_released_size"] = ours(DVAEConfig(), 1, dtype, 1)
        if module is not None:
            base = rows["discrete_vae"]["gflop_per_second"]["done"]
            rows["times_discrete_vae_per_flop"] = {
                key: {count: round(speed / base, 2) for count, speed in row["gflop_per_second"].items()}
                for key, row in rows.items()
                if key.startswith("ours")
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, help="a folder with dalle-pytorch 1.6.6")
    parser.add_argument("--fast", action="store_true", help="no training at the released size")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    gemm = {name: peak(dtype) for name, dtype in DTYPES.items()}
    with torch.no_grad():
        drawn = drawing(gemm["float32"])
    result = {
        **facts("dalle1_dvae"),
        "gemm_gflop_per_second": {name: round(speed, 1) for name, speed in gemm.items()},
        "released_size_float32_batch_1": drawn,
        "training": training(args.peers, args.fast),
        "aim_times_discrete_vae_per_flop": AIM,
    }
    console.print(result)
    write(result)


if __name__ == "__main__":
    main()
