"""What we train goes out too: a latent model of Stable Diffusion's form, fresh from its recipe, as a folder
that draws the same; and every option of another form is named with what a recipe says instead.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import armchair
from armchair.cli import main
from armchair.cli.recipe_names import load_recipe
from armchair.core.bundle import SHIPPED, Bundle
from armchair.core.config import fill, override
from armchair.core.errors import Unsupported
from armchair.core.rng import SeedBatch
from armchair.dalle3.parts import load_part
from armchair.train import build_task, run
from armchair.weights.exporting.run import export_bundle
from armchair.weights.importing.run import import_weights
from tests.dalle3.latents import Pictures
from tests.weights.pipelines import library

PROMPT = "a red square"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """An autoencoder without folded pixels and a latent model on it, two updates each, through the loop."""
    folder = tmp_path_factory.mktemp("trained")
    small = {"steps": 2, "batch": 4, "evaluate_every": 2, "evaluate_samples": 2, "preview_every": 0}
    made = {"text": Bundle.open(SHIPPED / "text")}
    for name, needed, settings in (
        ("autoencoder", (), ["task.net.patch=1"]),
        ("stable", ("autoencoder", "text"), []),
    ):
        recipe = override(fill(load_recipe(f"dalle3_{name}_tiny"), small), settings)
        with torch.random.fork_rng(devices=[]):
            task = build_task(recipe, {stage: made[stage] for stage in needed})
            out = run(recipe, source=Pictures(size=40), task=task, out=folder / name, progress=False)
        made[name] = Bundle.open(out / "bundle")
    return made


def apart(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of two pictures' 8-bit numbers."""
    return int(np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max())


def test_a_trained_model_out_and_in(tmp_path: Path, trained: dict[str, Bundle]):
    """Latents that are scaled channel by channel become the autoencoder's own: the same picture, within a
    rounding.
    """
    bundle = trained["stable"]
    assert bundle.tensors("latent")["scale.mean"].abs().min() > 0
    back = import_weights(str(export_bundle(bundle, "diffusers", tmp_path / "out")), tmp_path / "in")
    assert back.config("latent") == bundle.config("latent")
    (a,), (b,) = (
        armchair.load(where.folder).generate(PROMPT, seed=3, steps=5, guidance=4.0)
        for where in (bundle, back)
    )
    assert np.asarray(a.image).std() > 5 and apart(a.image, b.image) <= 1


def test_what_stands_in_the_way(tmp_path: Path, trained: dict[str, Bundle]):
    """The shipped system is of another form: one line with every option, and the recipe that has none."""
    coder = trained["autoencoder"]
    recipe = override(
        load_recipe("dalle3_latent_tiny"),
        ["task.net.prediction=flow", "steps=1", "batch=2", "evaluate_every=0", "preview_every=0"],
    )
    with torch.random.fork_rng(devices=[]):
        task = build_task(recipe, {"autoencoder": coder, "text": trained["text"]})
        out = run(recipe, source=Pictures(size=40), task=task, out=tmp_path / "run", progress=False)
    with pytest.raises(Unsupported) as caught:
        export_bundle(Bundle.open(out / "bundle"), "diffusers", tmp_path / "out")
    said = str(caught.value)
    assert "\n" not in said and "as the recipe dalle3_stable_tiny does" in said
    for what in (
        "a text encoder of T5", "U-Net.inpaints=True", "U-Net.modulation='film'", "U-Net.qk_norm=True",
        "U-Net.pooled=True", "U-Net.prediction='flow'", "task.net.prediction=v", "task.net.qk_norm=false",
        "task.net.time_width=32",
    ):  # fmt: skip
        assert what in said, what
    assert not (tmp_path / "out").exists()


def test_an_autoencoder_by_itself(
    tmp_path: Path, trained: dict[str, Bundle], capsys: pytest.CaptureFixture[str]
):
    """A bundle of its own comes back as it went."""
    bundle, out = trained["autoencoder"], tmp_path / "vae"
    assert main(["export", str(bundle.folder), "--format", "diffusers", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    back = import_weights(str(out), tmp_path / "in")
    assert back.config("autoencoder") == bundle.config("autoencoder")
    ours, theirs = bundle.tensors("autoencoder"), back.tensors("autoencoder")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.references
@pytest.mark.filterwarnings("ignore")
def test_in_diffusers(tmp_path: Path, trained: dict[str, Bundle]):
    """StableDiffusionPipeline and AutoencoderKL load what we trained, and draw and decode the same."""
    diffusers = library("diffusers")
    bundle = trained["stable"]
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(
        export_bundle(bundle, "diffusers", tmp_path / "out")
    )
    theirs.set_progress_bar_config(disable=True)
    (got,) = armchair.load(bundle.folder).generate(PROMPT, seed=3, steps=5, guidance=4.0)
    (want,) = theirs(
        PROMPT, num_inference_steps=5, guidance_scale=4.0, latents=SeedBatch([3]).normal(4, 16, 16),
        height=32, width=32,
    ).images  # fmt: skip
    assert np.asarray(want).std() > 5 and apart(got.image, want) <= 1
    folder = export_bundle(trained["autoencoder"], "diffusers", tmp_path / "vae")
    loaded, unloaded = diffusers.AutoencoderKL.from_pretrained(folder, output_loading_info=True)
    assert not any(unloaded.values())
    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    ours = load_part(trained["autoencoder"], "autoencoder", torch.device("cpu"), torch.float32)
    with torch.no_grad():
        assert (ours.decode(latent) - loaded.decode(latent).sample).abs().max() < 1e-4  # type: ignore[operator]
