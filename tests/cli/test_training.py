"""The commands around training: recipes by name, settings, data, and a run of two updates from start to
bundle.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from armchair.cli import main
from armchair.cli.recipe_names import load_recipe, recipe_names
from armchair.core.images import open_image

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight coloured pictures with words, and an empty working directory."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        Image.fromarray(rng.integers(0, 255, (40, 48, 3), np.uint8)).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(f"picture number {i} of coloured noise")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def test_recipes_are_listed_without_importing_them(capsys: Capture):
    """One line each, from the docstring."""
    assert main(["train"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(recipe_names()) >= 4
    assert any(line.startswith("dalle1_dvae_tiny ") and len(line.split()) > 4 for line in lines)


@pytest.mark.parametrize("name", list(recipe_names()))
def test_every_recipe_is_named_as_its_file(name: str):
    """The name leads to runs/NAME and into the bundle."""
    assert load_recipe(name).name == name


def test_inspect_the_papers_sizes(capsys: Capture):
    """Issue 2, section 5: DALL·E 1's published counts, built on the meta device."""
    assert main(["inspect", "dalle1_paper", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    found = {entry["name"]: entry for entry in report["recipes"]}
    dvae, transformer = found["dalle1_dvae_paper"], found["dalle1_transformer_paper"]
    assert dvae["parameters"] == 97_616_006
    assert dvae["parts"] == {"encoder": 53_786_240, "decoder": 43_829_766}
    assert transformer["kinds"]["matrices of blocks"] == 64 * 12 * 3968**2 == 12_092_178_432
    assert {"biases", "gains", "embeddings"} <= set(transformer["kinds"])
    assert main(["inspect", "dalle1_paper"]) == 0
    text = capsys.readouterr().out
    for number in ("97,616,006", "53,786,240", "43,829,766", "12,092,178,432"):
        assert number in text


def test_inspect_one_recipe(capsys: Capture):
    """A recipe's own report is one object."""
    assert main(["inspect", "dalle1_dvae_tiny", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["type"] == "recipe"
    assert report["config"]["name"] == "dalle1_dvae_tiny"
    assert report["parameters"] == sum(report["kinds"].values()) == sum(report["parts"].values())


def test_train_and_resume(pictures: Path, capsys: Capture):
    """Two updates: the run folder as DESIGN section 4 draws it, a bundle, and nothing left to do on
    --resume.
    """
    small = ["--set", "steps=2", "--set", "batch=2", "--set", "preview_every=2", "--set", "evaluate_every=0"]
    arguments = ["train", "dalle1_dvae_tiny", "--data", str(pictures), "--out", "A", *small]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "A/bundle"
    there = {path.name for path in Path("A").iterdir()}
    assert {"recipe.json", "metrics.jsonl", "previews", "checkpoints", "bundle"} <= there
    assert json.loads(Path("A/recipe.json").read_text())["steps"] == 2
    assert main(arguments) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(["train", "dalle1_dvae_tiny", "--data", str(pictures), "--out", "A", "--resume"]) == 0
    assert main(["verify", "A"]) == 0
    assert main(["generate", "x", "--model", "A"]) == 2
    assert "does not draw by itself" in capsys.readouterr().err


def test_a_resumed_run_keeps_its_earlier_stages(pictures: Path, capsys: Capture):
    """A transformer on a dVAE of one's own must not go on with the shipped one, nor with another, only
    because --using was left out or mistyped.
    """

    def train(recipe: str, out: str, *more: str) -> int:
        small = ["--set", "batch=2", "--set", "preview_every=0", "--set", "evaluate_every=0"]
        return main(["train", recipe, "--data", str(pictures), "--out", out, *small, *more])

    for name, seed in (("A", 0), ("C", 1)):
        assert train("dalle1_dvae_tiny", name, "--set", "steps=1", "--set", f"seed={seed}") == 0
    transformer = ["dalle1_transformer_tiny", "B"]
    assert train(*transformer, "--set", "steps=1", "--using", "dvae=A/bundle") == 0
    assert train(*transformer, "--set", "steps=2", "--resume", "--using", "dvae=C/bundle") == 2
    assert "--using dvae=" in capsys.readouterr().err
    assert train(*transformer, "--set", "steps=2", "--resume") == 0
    Path("A").rename("moved")
    assert train(*transformer, "--set", "steps=3", "--resume") == 2
    assert "is not here" in capsys.readouterr().err
    assert train(*transformer, "--set", "steps=3", "--resume", "--using", "dvae=moved/bundle") == 0


def test_dry_run_writes_nothing(pictures: Path, capsys: Capture):
    """The plan alone."""
    assert main(["train", "dalle1_dvae_tiny", "--data", str(pictures), "--set", "batch=2", "--dry-run"]) == 0
    assert "parameters" in capsys.readouterr().out
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "optim.lrr=1"], "Did you mean 'lr'"),
        (["--set", "steps=many"], "steps=many: not a whole number"),
        (["--using", "dvae=nowhere"], "unknown model 'nowhere'"),
        (["--init", "nowhere"], "unknown model 'nowhere'"),
        (["--data", "nowhere"], "nowhere"),
        (["--set", "task=5"], "task=5"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_start_costs_nothing(pictures: Path, arguments: list[str], words: str, capsys: Capture):
    """Refused by name before the run folder exists."""
    assert main(["train", "dalle1_dvae_tiny", "--data", str(pictures), *arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
    assert list(Path().iterdir()) == []


def test_a_recipe_without_data_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture):
    """And --set data=PATH, which reads as if it worked, points at --data."""
    monkeypatch.chdir(tmp_path)
    for more in ([], ["--set", "data=pictures"]):
        assert main(["train", "dalle1_dvae_tiny", *more]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "--data" in said


def test_data_check(pictures: Path, capsys: Capture):
    """Counts, reasons, ten pairs, a sheet that overwrites nothing."""
    (pictures / "broken.png").write_bytes(b"nothing")
    (pictures / "broken.txt").write_text("a broken picture of nothing")
    for name in ("pictures-check.png", "pictures-check-2.png"):
        assert main(["data", "check", str(pictures), "--out", "look"]) == 0
        text = capsys.readouterr().out
        assert Path("look", name).is_file()
        assert name in text
    for words in ("samples", "8 of", "picture number 3", "broken.png", "40"):
        assert words in text
    assert main(["data", "check", str(pictures), "--limit", "4", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["examined"] == 4
    assert len(report["pairs"]) <= 4


def test_data_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture):
    """Pictures, metadata and the preview sheet; a folder that holds something is left alone."""
    from armchair.data.world import source

    class Squares:
        """Drawings that need no network."""

        def picture(self, concept: str, style: str, side: int) -> np.ndarray:
            return np.full((side, side, 4), 200, np.uint8)

    monkeypatch.setattr(source, "emoji_art", Squares)
    monkeypatch.chdir(tmp_path)
    assert main(["data", "world", "--out", "w", "--n", "3", "--size", "32", "--preview"]) == 0
    assert capsys.readouterr().out.splitlines() == ["w/metadata.jsonl", "w/preview.png"]
    rows = [json.loads(line) for line in Path("w/metadata.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    assert open_image(Path("w", rows[0]["file_name"])).size == (32, 32)
    assert main(["data", "world", "--out", "w", "--n", "3"]) == 2
    assert "w" in capsys.readouterr().err
