"""Two processes are one: torchrun on the CPU gives one process's loss curve."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from armchair.train import build_task, run
from armchair.train.processes import place
from tests.train import made_up
from tests.train.kill import finish
from tests.train.made_up import Pictures, recipe


def curve(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if "loss" in line for name in ("loss", "text", "grad_norm")]


def test_two_processes_give_one_processs_curve(tmp_path: Path):
    """Same global batch, captions of different lengths on the two: the mean of two means is another."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    settings = ["--set", "accumulate=2", "steps=12"]
    said = finish([*torchrun, made_up.__file__, "--out", str(tmp_path / "two"), *settings])
    assert said.count("processes 2") == 2, said
    assert "Warning" not in said, said
    chosen = recipe(steps=12)
    run(chosen, source=Pictures(), task=build_task(chosen), out=tmp_path / "one", progress=False)
    one, two = curve(tmp_path / "one"), curve(tmp_path / "two")
    assert len(one) == 36
    assert two == pytest.approx(one, rel=0, abs=1e-5)


def test_frozen_networks_go_to_the_device_too():
    """A transformer's task holds its image tokenizer beside `net`: on a GPU it must not stay behind."""
    task = made_up.Task()
    task.frozen = torch.nn.Linear(2, 2)
    place(task, torch.device("meta"))
    assert task.frozen.weight.is_meta and task.net.mix.weight.is_meta


@pytest.mark.gpu
@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-3), ("bfloat16", 0.05)])
def test_gpu_gives_the_cpus_curve(tmp_path: Path, precision: str, tolerance: float):
    """The draws are the CPU's on every device: the curve is too, up to the arithmetic."""
    command = [sys.executable, made_up.__file__, "--set", "steps=12", "--out"]
    finish([*command, str(tmp_path / "cpu")])
    finish(
        [*command[:4], f"precision={precision}", "--out", str(tmp_path / "gpu")], ACCELERATE_USE_CPU="false"
    )
    cpu, gpu = (curve(tmp_path / name)[::3] for name in ("cpu", "gpu"))
    assert gpu == pytest.approx(cpu, abs=tolerance)
