"""LoRA files of three formats on imported systems: W + strength alpha / rank (up down), and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

import armchair
from armchair.artist.artist import Artist
from armchair.artist.redo import redo, same_pixels
from armchair.cli import main
from armchair.core.bundle import Bundle
from armchair.core.errors import ArmchairError, BadInput, Unsupported
from armchair.core.images import open_image
from armchair.core.picture import read_recipe
from armchair.weights.tables.keys import revert, under
from armchair.weights.tables.latent import diffusers_unet
from tests.weights.systems import KARLO, STABLE, bundle_of

Q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
OUT = "up_blocks.1.attentions.1.proj_out"  # a convolution one wide, as published
CONV = "mid_block.resnets.0.conv1"
TOWER = "text_model.encoder.layers.0.self_attn.v_proj"


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(tmp_path_factory.mktemp("stable") / "stable", "dalle3", STABLE)


def peft(pairs: dict[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    ends = ("lora_A.weight", "lora_B.weight")
    return {f"{name}.{end}": x for name, pair in pairs.items() for end, x in zip(ends, pair, strict=True)}


def diffusers(pairs: dict[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    ends = ("lora.down.weight", "lora.up.weight")
    return {f"{name}.{end}": x for name, pair in pairs.items() for end, x in zip(ends, pair, strict=True)}


def kohya(pairs: dict[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Names with underscores for dots, and alpha beside them."""
    found: dict[str, Tensor] = {}
    for name, (down, up) in pairs.items():
        flat = name.replace("unet.", "lora_unet_").replace("text_encoder.", "lora_te_").replace(".", "_")
        found |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
        found[f"{flat}.alpha"] = torch.tensor(float(len(down)) / 2)
    return found


FORMATS: dict[str, tuple[Callable[..., dict[str, Tensor]], float]] = {
    "peft": (peft, 1.0), "diffusers": (diffusers, 1.0), "kohya": (kohya, 0.5),
}  # fmt: skip


def pairs_for() -> dict[str, tuple[Tensor, Tensor]]:
    rng = torch.Generator().manual_seed(0)

    def pair(out: int, into: int, *kernel: int) -> tuple[Tensor, Tensor]:
        down, up = (2, into, *kernel), (out, 2, *(1 for _ in kernel))
        return torch.randn(down, generator=rng), torch.randn(up, generator=rng)

    return {
        f"unet.{Q}": pair(16, 16),
        f"unet.{OUT}": pair(16, 16, 1, 1),
        f"unet.{CONV}": pair(32, 32, 3, 3),
        f"text_encoder.{TOWER}": pair(64, 64),
    }


def published(artist: Artist) -> dict[str, Tensor]:
    """The U-Net's weights under diffusers' names, in float32."""
    net = artist.pipeline.parts["latent"].state_dict()  # type: ignore[attr-defined]
    inner = {name: value for name, value in net.items() if name.startswith("unet.")}
    return revert(under(diffusers_unet(linear=False), "", "unet."), inner)


@pytest.mark.parametrize("form", FORMATS)
def test_three_formats(tmp_path: Path, stable: Bundle, form: str):
    """Queries inside a fused tensor, a convolution one wide, one three wide, the text tower; every other
    number stays.
    """
    make, scale = FORMATS[form]
    pairs, path = pairs_for(), tmp_path / "style.safetensors"
    safetensors.torch.save_file(make(pairs), path)
    plain = armchair.load(stable.folder)
    changed = armchair.load(stable.folder, lora=[(path, 0.5)])
    before, after = published(plain), published(changed)
    for key, old in before.items():
        layer = "unet." + key.removesuffix(".weight")
        wanted = old
        if layer in pairs and key.endswith(".weight"):
            down, up = pairs[layer]
            delta = torch.einsum("or,ri->oi", up.flatten(1), down.flatten(1)).view(old.shape)
            wanted = old + 0.5 * scale * delta
            assert (wanted - old).abs().max() > 0.1
        torch.testing.assert_close(after[key], wanted, atol=1e-5, rtol=1e-5)
    towers = [a.pipeline.parts["text_encoder"].state_dict() for a in (plain, changed)]  # type: ignore[attr-defined]
    key = "blocks.0.attention.qkv.weight"
    assert torch.equal(towers[0][key][:128], towers[1][key][:128])
    assert (towers[0][key][128:] - towers[1][key][128:]).abs().max() > 0.1


def test_in_pictures_and_their_recipes(tmp_path: Path, stable: Bundle):
    """Strength 0 changes nothing, 1 does, two files add up; a picture is drawn again with its files, or it is
    said that they are gone.
    """
    path, home = tmp_path / "style.safetensors", stable.folder
    safetensors.torch.save_file(peft(pairs_for()), path)

    def draw(*lora: tuple[Path, float]):
        return armchair.load(home, lora=lora).generate("the cat", seed=1, steps=2)[0]

    plain, none, full = draw(), draw((path, 0.0)), draw((path, 1.0))
    assert same_pixels(plain.image, none.image) and not same_pixels(plain.image, full.image)
    halves = draw((path, 0.5), (path, 0.5))
    apart = np.abs(np.asarray(halves.image, dtype=int) - np.asarray(full.image, dtype=int))
    assert apart.max() <= 2, "rounding alone"
    assert same_pixels(redo(full.recipe, model=home).image, full.image)
    path.rename(tmp_path / "elsewhere.safetensors")
    with pytest.raises(BadInput, match="that changed this picture is not here"):
        redo(full.recipe, model=home)


def test_every_drawing_command_takes_them(tmp_path: Path, stable: Bundle, capsys: pytest.CaptureFixture[str]):
    """One option: a hole is drawn by the changed network, and the recipe says so; a strength is a number."""
    path, picture, out = tmp_path / "style.safetensors", tmp_path / "cat.png", tmp_path / "out"
    safetensors.torch.save_file(peft(pairs_for()), path)
    Image.new("RGBA", (16, 16), (200, 30, 30, 0)).save(picture)
    given = ["--model", str(stable.folder), "--seed", "1", "--steps", "2", "--out", str(out), "--json"]
    drawn = []
    for more in ([], ["--lora", f"{path}=0.5"]):
        assert main(["inpaint", str(picture), "the cat", *given, *more]) == 0
        drawn.append(Path(json.loads(capsys.readouterr().out)[0]["path"]))
    assert not same_pixels(*(open_image(file) for file in drawn))
    assert read_recipe(drawn[1])["lora"][0]["strength"] == 0.5
    assert main(["inpaint", str(picture), "the cat", *given, "--lora", f"{path}=much"]) == 2
    assert "the strength 'much' is no number" in capsys.readouterr().err
    for command in ("generate", "vary", "blend", "textdiff", "probe", "outpaint"):
        assert main([command, "--help"]) == 0
        assert "--lora" in capsys.readouterr().out, command


def test_karlo_takes_them_too(tmp_path: Path):
    """Its prior and its decoder, by diffusers' names."""
    karlo, path = bundle_of(tmp_path / "karlo", "dalle2", KARLO), tmp_path / "style.safetensors"
    pair = (torch.ones(1, 64), torch.ones(64, 1))
    names = ("prior.transformer_blocks.0.attn1.to_k", "decoder.mid_block.resnets.0.time_emb_proj")
    wide = (torch.ones(1, 256), torch.ones(256, 1))
    safetensors.torch.save_file(peft({names[0]: pair, names[1]: wide}), path)
    nets = [armchair.load(karlo.folder, lora=lora).pipeline.parts for lora in ((), [(path, 2.0)])]  # type: ignore[attr-defined]
    rows = [parts["prior"].blocks[0].attention.qkv.weight for parts in nets]
    torch.testing.assert_close(rows[1][64:128], rows[0][64:128] + 2)
    assert torch.equal(rows[1][:64], rows[0][:64])
    film = [parts["decoder"].unet.middle[0].film.weight for parts in nets]
    torch.testing.assert_close(film[1], film[0] + 2)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"unet.strange.lora_A.weight": (2, 16), "unet.strange.lora_B.weight": (16, 2)}, "a place: unet.s"),
        ({f"unet.{Q}.lora_A.weight": (2, 8), f"unet.{Q}.lora_B.weight": (16, 2)}, r"change of \[16, 8\]"),
        ({f"unet.{Q}.lora_A.weight": (2, 16)}, "has down and not both"),
        ({"unet.conv_in.weight": (2, 2)}, "is no LoRA file"),
        ({f"lora_unet_{Q}.hada_w1_a": (2, 2)}, "hada_ is another method"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit(tmp_path: Path, stable: Bundle, tensors: dict, words: str):
    """One line with the file, when it is loaded or at the latest when the network is needed."""
    path = tmp_path / "style.safetensors"
    safetensors.torch.save_file({name: torch.ones(shape) for name, shape in tensors.items()}, path)
    with pytest.raises(ArmchairError, match=words):
        armchair.load(stable.folder, lora=[(path, 1.0)]).generate("cat", seed=1, steps=1)


def test_what_is_no_file_and_what_takes_none(tmp_path: Path):
    """A pickle is not opened; DALL·E 1 has no published layers."""
    with pytest.raises(BadInput, match="no such file"):
        armchair.load("dalle1", lora=[(tmp_path / "none.safetensors", 1.0)])
    torch.save({}, tmp_path / "style.pt")
    with pytest.raises(BadInput, match="only .safetensors files are read"):
        armchair.load("dalle1", lora=[(tmp_path / "style.pt", 1.0)])
    path = tmp_path / "style.safetensors"
    safetensors.torch.save_file(peft(pairs_for()), path)
    net = replace(STABLE["latent"], qk_norm=True)
    own = bundle_of(tmp_path / "own", "dalle3", {**STABLE, "latent": net})
    path = tmp_path / "lora.safetensors"
    safetensors.torch.save_file(peft({f"unet.{Q}": (torch.ones(2, 16), torch.ones(16, 2))}), path)
    with pytest.raises(
        Unsupported, match="own's latent has unet.down.0.attentions.0.* take an imported model"
    ):
        armchair.load(own.folder, lora=[(path, 1.0)])
    with pytest.raises(BadInput, match="the strength nan is no number"):
        armchair.load(own.folder, lora=[(path, float("nan"))])
    with pytest.raises(Unsupported, match="a dalle1 bundle takes no LoRA; bundles of kind dalle2, dalle3 do"):
        armchair.load("dalle1", lora=[(path, 1.0)])
