"""The loop: accumulation, bad numbers, previews, bundles, and that a run leaves nothing else changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from armchair.core.bundle import Bundle, verify
from armchair.core.errors import BadInput, TrainingError
from armchair.train import build_task, export, run
from armchair.train.checkpoint import load
from armchair.train.loader import Order
from tests.train.made_up import MadeUp, Pictures, ScheduleConfig, recipe


def go(out: Path, **changes: Any) -> Path:
    chosen = recipe(**changes)
    return run(chosen, source=Pictures(), task=build_task(chosen), out=out, progress=False)


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_accumulation_equals_the_big_batch(tmp_path: Path):
    """Four micro-batches of two, with captions of other lengths in each, are one batch of eight: loss and
    weights.
    """
    one, four = go(tmp_path / "one"), go(tmp_path / "four", accumulate=4)
    for a, b in zip(lines(one), lines(four), strict=True):
        assert b == pytest.approx(a, abs=1e-5) if "loss" in a else True
    weights = [load(out / "checkpoints" / "00000020").model for out in (one, four)]
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], rtol=0, atol=1e-4)


def test_batch_that_cannot_be_split_is_refused(tmp_path: Path):
    with pytest.raises(BadInput, match="batch=8 cannot be split evenly over 1 processes and accumulate=3"):
        go(tmp_path / "run", accumulate=3)
    assert not (tmp_path / "run").exists()


def test_run_folder_is_as_documented(tmp_path: Path):
    out = go(tmp_path / "run")
    assert {path.name for path in out.iterdir()} == {
        "recipe.json",
        "metrics.jsonl",
        "tb",
        "previews",
        "checkpoints",
        "bundle",
    }
    assert sorted(path.name for path in (out / "previews").iterdir()) == ["00000010.png", "00000020.png"]
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == ["00000015", "00000020"]
    with Image.open(out / "previews" / "00000010.png") as sheet:
        assert sheet.size[0] > 8
    steps = [line["step"] for line in lines(out) if "loss" in line]
    assert steps == list(range(1, 21))
    assert [line["scores"].keys() for line in lines(out) if "scores" in line] == [{"error"}, {"error"}]


def test_loss_falls(tmp_path: Path):
    """The loop trains: thirty small updates halve the picture's error."""
    picture = [line["picture"] for line in lines(go(tmp_path / "run", steps=30)) if "loss" in line]
    assert sum(picture[-5:]) < 0.5 * sum(picture[:5])


def test_nan_loss_stops_with_the_sample(tmp_path: Path):
    """The step, the guilty sample alone, the last good checkpoint; and that step's weights are nowhere."""
    out, poison = tmp_path / "run", Order(50, seed=3).sample(43)  # in update 6 of 8 samples each
    with pytest.raises(TrainingError) as caught:
        go(out, task=MadeUp(poison=poison), accumulate=2)
    words = str(caught.value)
    assert words.startswith("step 6: not finite: loss nan")
    assert f"of the samples {poison}." in words
    assert f"Last good checkpoint: {out / 'checkpoints' / '00000005'}." in words
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["00000005"]
    assert lines(out)[-1]["step"] == 5
    assert not (out / "bundle").exists()


class Exploding(torch.autograd.Function):
    """The identity, whose gradient is infinite."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return grad * float("inf")


def test_infinite_gradient_stops_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The loss is fine and the gradient is not: earlier projects trained on, and saved noise."""
    chosen = recipe()
    task = build_task(chosen)
    honest = task.loss
    monkeypatch.setattr(
        task,
        "loss",
        lambda batch, rng: (
            (Exploding.apply(honest(batch, rng)[0]), {}) if batch.step == 7 else honest(batch, rng)
        ),
    )
    with pytest.raises(
        TrainingError, match=r"step 8: not finite: loss \d.*gradient (nan|inf), first in .*among"
    ):
        run(chosen, source=Pictures(), task=task, out=tmp_path / "run", progress=False)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["00000005"]


def test_bundle_holds_the_averaged_weights(tmp_path: Path):
    out = go(tmp_path / "run")
    assert verify(out / "bundle") == []
    bundle = Bundle.open(out / "bundle")
    kept = load(out / "checkpoints" / "00000020")
    assert torch.equal(bundle.tensors("net")["mix.weight"], kept.ema["mix.weight"])
    assert not torch.equal(kept.ema["mix.weight"], kept.model["mix.weight"])
    assert bundle.name == "made_up" and bundle.kind == "made-up"
    assert bundle.trained["samples_seen"] == bundle.trained["enough"] == 160
    assert bundle.trained["recipe"]["optim"]["lr"] == 0.01
    assert bundle.trained["data"] == {"kind": "made up", "samples": 50}
    assert bundle.manifest.scores == lines(out)[-1]["scores"]
    assert bundle.manifest.golden is not None and bundle.manifest.golden.seed == 7


def test_export_equals_the_runs_own_bundle(tmp_path: Path):
    """From a checkpoint alone, with a task that has other weights before: the very bytes of the finished
    run's.
    """
    out = go(tmp_path / "run")
    made = export(out, tmp_path / "made", task=build_task(recipe(seed=99)), source=Pictures())
    for path in (out / "bundle").iterdir():
        assert path.read_bytes() == (made / path.name).read_bytes()
    with pytest.raises(BadInput, match="exists already"):
        export(out, tmp_path / "made", task=build_task(recipe()), source=Pictures())
    with pytest.raises(BadInput, match="holds no run"):
        export(tmp_path, tmp_path / "more", task=build_task(recipe()), source=Pictures())


def test_checkpoint_of_another_network_is_refused(tmp_path: Path):
    out = go(tmp_path / "run", steps=2)
    with pytest.raises(TrainingError, match=r"does not fit this network: look.weight is \(8, 3, 3, 3\)"):
        export(out, tmp_path / "made", task=build_task(recipe(task=MadeUp(width=4))), source=Pictures())


def test_global_generator_is_left_as_it_was(tmp_path: Path):
    """Building, dropout and the run itself draw from torch's global generator; the caller must not notice."""
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    go(tmp_path / "run", steps=2, task=MadeUp(dropout=0.5))
    assert torch.equal(before, torch.random.get_rng_state())


def test_same_seed_same_weights_other_seed_others():
    one, same, other = (build_task(recipe(seed=seed)).net.state_dict()["mix.weight"] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_bfloat16_computes_in_it_and_keeps_float32_weights(tmp_path: Path):
    """Autocast reaches the task's loss; the weights that are saved are float32."""
    chosen = recipe(steps=2, precision="bfloat16", schedule=ScheduleConfig(warmup=0))
    task = build_task(chosen)
    seen: set[torch.dtype] = set()
    task.net.mix.register_forward_hook(lambda module, args, out: seen.add(out.dtype))
    plain = task.preview
    task.preview = lambda rng: (seen.clear(), plain(rng))[1]
    run(chosen, source=Pictures(), task=task, out=tmp_path / "run", progress=False)
    assert seen == {torch.float32}, "previews compute in float32"
    seen.clear()
    chosen = recipe(steps=2, precision="bfloat16", preview_every=0, evaluate_every=0)
    task = build_task(chosen)
    task.golden = lambda: None
    task.net.mix.register_forward_hook(lambda module, args, out: seen.add(out.dtype))
    run(chosen, source=Pictures(), task=task, out=tmp_path / "more", progress=False)
    assert seen == {torch.bfloat16}
    weights = load(tmp_path / "more" / "checkpoints" / "00000002").model
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
