"""The whole of unCLIP against diffusers' pipelines: from the same noise to the same picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import armchair
from armchair.artist.artist import Artist
from armchair.core.bundle import Bundle
from armchair.weights.exporting.run import export_bundle
from armchair.weights.importing.plan import Options
from armchair.weights.importing.run import import_weights
from tests.weights.pipelines import precise, unclip, unclip_noise

pytestmark = [pytest.mark.references, pytest.mark.filterwarnings("ignore")]

CONFIGS: dict[str, dict[str, Any]] = {
    "two levels": {},
    "three levels, odd widths": {"widths": (24, 40, 56), "depth": 2, "context": 20, "width": 48},
    "x0 and gelu": {"sample": "sample", "act": "gelu", "limit": 2.0},
}
CALLS = {  # steps and guidance: their names, ours
    "as published": ({}, {}),
    "few steps": (
        {"prior_num_inference_steps": 3, "decoder_num_inference_steps": 4},
        {"prior_steps": 3, "steps": 4},
    ),
    "no guidance": (
        {"prior_guidance_scale": 1.0, "decoder_guidance_scale": 1.0, "decoder_num_inference_steps": 6},
        {"prior_guidance": 1.0, "guidance": 1.0, "steps": 6},
    ),
}


def pixels(images: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(image, dtype=np.int64) for image in images])


def same(ours: list[Image.Image], theirs: list[Image.Image]) -> None:
    """Within 1 of 255, and no plain picture."""
    got, want = pixels(ours), pixels(theirs)
    assert want.std() > 10 and got.shape == want.shape
    assert np.abs(got - want).max() <= 1


@pytest.mark.parametrize(
    ("name", "call"),
    [*(("two levels", call) for call in CALLS), *((name, "few steps") for name in list(CONFIGS)[1:])],
)
def test_from_text(tmp_path: Path, name: str, call: str, monkeypatch: pytest.MonkeyPatch):
    """Text projection, embeddings of any length, the schedulers' steps and variances, the last network of the
    super-resolution: all of it meets in the picture. No "!" in the prompt: as the padding of that folder's
    tokenizer it is one sign a token there.
    """
    theirs = unclip(tmp_path / "theirs", **CONFIGS[name])
    bundle = import_weights(str(tmp_path / "theirs"), tmp_path / "ours")
    artist, seeds = armchair.load(bundle.folder), [7, 8]
    given, ours = CALLS[call]
    got = [picture.image for picture in artist.generate("the red cat", n=2, seed=7, **ours)]
    unclip_noise(monkeypatch, seeds, side=16)
    rounded = theirs("the red cat", num_images_per_prompt=2, **given).images
    unclip_noise(monkeypatch, seeds, side=16)
    same(got, precise(theirs)("the red cat", num_images_per_prompt=2, **given).images)
    apart = np.abs(pixels(got) - pixels(rounded))
    assert (apart > 1).mean() < 0.02, "its tables in float32 move more than a few pixels"


def test_from_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The variation pipeline: CLIP's image tower, no caption, new noise."""
    theirs = unclip(tmp_path / "theirs", variation=True)
    artist = armchair.load(import_weights(str(tmp_path / "theirs"), tmp_path / "ours").folder)
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    unclip_noise(monkeypatch, [3, 4], 16)
    want = precise(theirs)(image, num_images_per_prompt=2, decoder_num_inference_steps=5).images
    got = artist.variations(image, n=2, seed=3, steps=5, size="64x64")
    same([picture.image for picture in got], want)


def test_both_folders_are_a_whole_system(tmp_path: Path):
    """Text to picture from one, CLIP's image tower from the other: all that a picture is needed for."""
    unclip(tmp_path / "text")
    unclip(tmp_path / "pictures", variation=True)
    alone = artist(import_weights(str(tmp_path / "text"), tmp_path / "alone"))
    assert alone.operations == {"generate"}
    options = Options(clip=tmp_path / "pictures")
    whole = artist(import_weights(str(tmp_path / "text"), tmp_path / "whole", options=options))
    assert whole.operations == {"generate", "variations", "interpolate", "text_diff", "probe"}
    (a,), (b,) = (whole.generate(text, seed=1, steps=2, prior_steps=2) for text in ("a cat", "the red"))
    frames = whole.interpolate(a.image, b.image, frames=2, steps=2)
    assert len(frames) == 2
    assert len(whole.text_diff(a.image, source="a cat", target="the red", frames=2, steps=2)) == 2
    assert len(whole.variations(a.image, n=1, seed=2, steps=2)) == 1


def artist(bundle: Bundle) -> Artist:
    return armchair.load(bundle.folder)


def test_out_again(tmp_path: Path):
    """Every part of an exported folder is one of diffusers', and every number comes back. Part by part, since
    diffusers 0.42 does not load a whole UnCLIP folder, its own included.
    """
    theirs = unclip(tmp_path / "theirs")
    bundle = import_weights(str(tmp_path / "theirs"), tmp_path / "ours")
    out = export_bundle(bundle, "diffusers", tmp_path / "out")
    for name in ("prior", "decoder", "text_proj", "text_encoder", "super_res_first", "super_res_last"):
        old = getattr(theirs, name)
        new = type(old).from_pretrained(out / name).state_dict()
        assert old.state_dict().keys() == new.keys(), name
        for key, value in old.state_dict().items():
            torch.testing.assert_close(new[key], value, atol=1e-5, rtol=1e-5, msg=f"{name} {key}")
    for name in ("prior_scheduler", "decoder_scheduler", "super_res_scheduler"):
        scheduler = getattr(theirs, name)
        old, new = (dict(x.config) for x in (scheduler, type(scheduler).from_pretrained(out / name)))
        assert {key: new[key] for key in old if key[0] != "_"} == {
            key: value for key, value in old.items() if key[0] != "_"
        }
    tokenizer = type(theirs.tokenizer).from_pretrained(out / "tokenizer")
    assert tokenizer("the red cat").input_ids == theirs.tokenizer("the red cat").input_ids
