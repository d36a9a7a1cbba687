"""The commands that draw, and those that look at what was drawn, with a toy system in place of a network."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from armchair.cli import main
from armchair.core.images import open_image
from armchair.core.picture import read_recipe

Capture = pytest.CaptureFixture[str]


def generate(*arguments: str) -> int:
    return main(["generate", "a red apple", "--model", "toy", *arguments])


def test_generate_writes_prints_and_never_overwrites(shipped: Path, capsys: Capture):
    """DIR/SEED-SLUG.png, a path a line on stdout, a second run beside the first."""
    assert generate("--n", "2", "--seed", "7") == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == ["out/7-a-red-apple.png", "out/8-a-red-apple.png"]
    assert said.err == ""
    before = Path("out/7-a-red-apple.png").read_bytes()
    assert generate("--seed", "7", "--out", "out", "--temperature", "0.5") == 0
    assert capsys.readouterr().out == "out/7-a-red-apple-2.png\n"
    assert Path("out/7-a-red-apple.png").read_bytes() == before
    recipe = read_recipe("out/7-a-red-apple-2.png")
    assert recipe["options"] == {"guidance": 1.0, "temperature": 0.5, "top_k": None}
    assert recipe["digest"]


def test_generate_json(shipped: Path, capsys: Capture):
    """The shape that scripts depend on."""
    assert generate("--n", "9", "--seed", "0", "--size", "8x8", "--json", "--out", "p") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["seed"] for row in rows] == list(range(9))
    assert set(rows[0]) == {"path", "seed", "prompt", "revised_prompt", "size", "seconds"}
    assert rows[0]["size"] == "8x8"
    assert rows[0]["revised_prompt"] is None
    assert all(Path(row["path"]).is_file() and row["seconds"] >= 0 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--size", "5x5"], "toy does not draw 5x5; it draws 16x16, 8x8"),
        (["--steps", "5"], "toy has no option 'steps'"),
        (["--seed", "-1"], "seed is -1"),
        (["--rerank", "4"], "rerank needs a clip bundle"),
        (["--expand", "builtin"], "expand needs a writer bundle"),
        (["--device", "tpu"], "device 'tpu' is not on this machine"),
        (["--dtype", "float8"], "dtype 'float8'"),
        (["--out", "taken"], "--out taken is a file"),
        (["--model", "tyo"], "unknown model 'tyo'. Did you mean 'toy'?"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_drawn(shipped: Path, arguments: list[str], words: str, capsys: Capture):
    """One line, exit 2, and no picture."""
    Path("taken").write_text("mine")
    assert generate(*arguments) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert words in said.err
    assert not list(Path().rglob("*.png"))


@pytest.mark.parametrize("name", ["net.safetensors", "bundle.json"])
def test_a_damaged_bundle(shipped: Path, name: str, capsys: Capture):
    """A flipped bit or half a file: one line that names it, from generate and from verify."""
    path = shipped / "toy" / name
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if name.startswith("net") else data[: len(data) // 2])
    assert generate() == 2
    said = capsys.readouterr()
    assert name in said.err
    assert "damaged" in said.err
    assert main(["verify", "toy"]) == 1
    assert name in capsys.readouterr().err


def test_a_full_disk(shipped: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture):
    """While saving: one line, what was there stays, nothing half-written."""
    assert generate("--seed", "7") == 0
    before = Path("out/7-a-red-apple.png").read_bytes()
    capsys.readouterr()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        status = generate("--seed", "7")
    assert status == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "no space left on the disk" in said.err
    assert os.listdir("out") == ["7-a-red-apple.png"]
    assert Path("out/7-a-red-apple.png").read_bytes() == before


def test_notes_go_to_stderr(shipped: Path, toy: ModuleType, capsys: Capture):
    """What the person should know, beside the result and not in it."""
    toy.save_toy(shipped / "young", trained={"samples_seen": 12_000, "enough": 10**6})
    assert main(["generate", "a zebra", "--model", "young", "--seed", "1"]) == 0
    said = capsys.readouterr()
    assert said.out == "out/1-a-zebra.png\n"
    assert said.err.splitlines() == [
        "note: young: 12,000 samples seen: expect noise",
        "note: young has never seen the word zebra",
    ]


def test_complete(shipped: Path, capsys: Capture):
    """The top rows stay; R at or beyond the grid is an error."""
    Image.new("RGB", (20, 20), (0, 255, 51)).save("green.png")
    arguments = ["complete", "green.png", "a red apple", "--model", "toy", "--seed", "3"]
    assert main([*arguments, "--keep-rows", "4"]) == 0
    assert capsys.readouterr().out == "out/3-a-red-apple.png\n"
    assert (np.array(open_image("out/3-a-red-apple.png"))[:4] == (0, 255, 51)).all()
    assert main([*arguments, "--keep-rows", "16"]) == 2
    assert "at most 15" in capsys.readouterr().err


def test_redo(shipped: Path, tmp_path: Path, toy: ModuleType, capsys: Capture):
    """Equal pixels: exit 0. Another bundle by --model: other pixels, exit 1. No recipe: exit 2."""
    assert generate("--seed", "7") == 0
    capsys.readouterr()
    assert main(["redo", "out/7-a-red-apple.png"]) == 0
    said = capsys.readouterr()
    assert said.out == "out/7-a-red-apple-2.png\n"
    assert said.err == "note: the pixels are equal\n"
    assert main(["redo", "out/7-a-red-apple.png", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert row["equal"] is True
    import torch

    net = {"weight": torch.full((3, 1), -0.2), "bias": torch.zeros(3)}
    component = toy.Component(config={}, tensors=net)
    toy.save_toy(tmp_path / "other", components={"net": component})
    assert main(["redo", "out/7-a-red-apple.png", "--model", str(tmp_path / "other")]) == 1
    assert "the pixels differ" in capsys.readouterr().err
    Image.new("RGB", (2, 2)).save("foreign.png")
    assert main(["redo", "foreign.png"]) == 2
    assert "holds no recipe" in capsys.readouterr().err


def test_verify(shipped: Path, tmp_path: Path, toy: ModuleType, capsys: Capture):
    """Hashes exactly, the golden picture to 40 dB."""
    assert main(["verify", "toy"]) == 0
    assert "every sha256 right; golden picture 'a red apple': equal" in capsys.readouterr().out
    toy.save_toy(tmp_path / "off", golden=("a red apple", 3, Image.new("RGB", (16, 16), "red")))
    assert main(["verify", str(tmp_path / "off")]) == 1
    assert "40 are needed" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "off"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
    toy.save_toy(tmp_path / "part", kind="toy_dvae", golden=None)
    assert main(["verify", str(tmp_path / "part")]) == 0
    assert "draws nothing by itself" in capsys.readouterr().out


def test_models(shipped: Path, toy: ModuleType, capsys: Capture):
    """Shipped ones and runs; a broken one is told, not hidden and not fatal."""
    toy.save_toy(Path("runs/mine/bundle"))
    (shipped / "broken").mkdir()
    (shipped / "broken" / "bundle.json").write_text("{")
    assert main(["models"]) == 0
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == ["name", "toy", "mine"]
    assert "12,000" in said.out
    assert "broken" in said.err
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mine"]["where"] == "run"
    assert "damaged" in rows["broken"]["error"]


def test_inspect_a_bundle(shipped: Path, capsys: Capture):
    """Components, parameters by kind, config, training and scores."""
    assert main(["inspect", "toy", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["type"] == "bundle"
    assert report["parameters"] == 6
    assert report["components"]["net"]["kinds"] == {"biases": 3, "other matrices": 3}
    assert report["components"]["words"]["storage"] == "file"
    assert report["scores"] == {"psnr": 24.5}
    assert main(["inspect", "toy"]) == 0
    text = capsys.readouterr().out
    for words in ("component net: float16", "other matrices", "samples_seen", "psnr"):
        assert words in text


def test_doctor(shipped: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch):
    """What a bug report needs; a bundle that does not load turns the exit status."""
    from armchair.cli import doctor

    monkeypatch.setattr(doctor, "speed", lambda name: 1.0)
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for words in (
        "python",
        "torch",
        "cores",
        "memory",
        "GFLOP/s",
        "extras",
        "cache",
        "npm",
        "toy (shipped): loads",
    ):
        assert words in text
    (shipped / "toy" / "net.safetensors").unlink()
    assert main(["doctor", "--json"]) == 1
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert "is missing" in report["bundles"][0]["problem"]


def test_doctor_measures(shipped: Path):
    """The speed is of a real product."""
    from armchair.cli.doctor import speed

    assert (speed("float32", seconds=0.01) or 0) > 0


def test_bench_lists_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture):
    """A script of benchmarks/ by its name, its exit status passed on; without one, the list with its first
    lines.
    """
    from armchair.cli import bench

    (tmp_path / "quick.py").write_text(
        '"""What it measures.\n\nMore."""\nimport sys\nsys.exit(len(sys.argv) + 2)\n'
    )
    (tmp_path / "_shared.py").write_text("")
    monkeypatch.setattr(bench, "benchmarks", lambda: tmp_path)
    assert main(["bench"]) == 0
    assert capsys.readouterr().out == "quick  What it measures.\n"
    assert main(["bench", "quick", "--", "--flag"]) == 4
