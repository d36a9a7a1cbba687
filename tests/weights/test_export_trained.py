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
from armchair.core.config import override
from armchair.core.errors import Unsupported
from armchair.core.rng import SeedBatch
from armchair.dalle3.parts import load_part
from armchair.train import build_task
from armchair.weights.exporting.run import export_bundle
from armchair.weights.importing.run import import_weights
from tests.dalle3.latents import Pictures
from tests.stages import batch as batch_of
from tests.stages import saved, wake
from tests.weights.pipelines import library

PROMPT = "a red square"


def learned(folder: Path, recipe: str, using: dict[str, Bundle], *settings: str, size: int = 40) -> Bundle:
    """What a recipe's run leaves after a step down the slope, with weights that make pictures differ. size:
    pixels of the pictures
    """
    chosen = override(load_recipe(recipe), settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        task = build_task(chosen, using)
        wake(task.net)
        task.prepare(Pictures(size=size), torch.Generator().manual_seed(3))
    made = batch_of(task, [0, 1, 2], source=Pictures(size=size))
    loss, _ = task.loss(made, SeedBatch([1, 2, 3]))
    loss.backward()
    with torch.no_grad():
        for p in task.net.parameters():
            if p.grad is not None:
                p -= 0.01 * p.grad / (1 + p.grad.norm())
    return saved(folder, task)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """An autoencoder without folded pixels, and a latent model on it."""
    folder, text = tmp_path_factory.mktemp("trained"), Bundle.open(SHIPPED / "text")
    coder = learned(folder / "coder", "dalle3_autoencoder_tiny", {}, "task.net.patch=1")
    using = {"autoencoder": coder, "text": text}
    return {**using, "stable": learned(folder / "stable", "dalle3_stable_tiny", using)}


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
    using = {name: trained[name] for name in ("autoencoder", "text")}
    options = ("task.net.prediction=flow", "task.sampling.sampler=euler", "task.sampling.steps=1")
    other = learned(tmp_path / "other", "dalle3_latent_tiny", using, *options)
    with pytest.raises(Unsupported) as caught:
        export_bundle(other, "diffusers", tmp_path / "out")
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
