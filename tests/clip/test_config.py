"""The variants of the papers by name, and what a config refuses."""

from __future__ import annotations

import json

import pytest

from armchair.clip.config import VARIANTS, ClipConfig, ResNetConfig, TextConfig, ViTConfig
from armchair.clip.network import Clip
from armchair.core.config import from_json, to_json
from armchair.weights.kinds import network_on_meta

COUNTS = {  # all parameters and the image tower's, counted by building the released code
    "RN50": (102_007_137, 38_316_896),
    "RN101": (119_688_033, 56_259_936),
    "RN50x4": (178_300_601, 87_137_080),
    "RN50x16": (290_979_217, 167_328_912),
    "RN50x64": (623_258_305, 420_380_352),
    "ViT-B/32": (151_277_313, 87_849_216),
    "ViT-B/16": (149_620_737, 86_192_640),
    "ViT-L/14": (427_616_513, 303_966_208),
    "ViT-L/14@336": (427_944_193, 304_293_888),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_of_the_papers_models(name: str):
    """To the last one: an extra bias, or a norm that is missing, shows here and nowhere else."""
    net = network_on_meta(VARIANTS[name])
    assert isinstance(net, Clip)
    found = sum(p.numel() for p in net.parameters()), sum(p.numel() for p in net.image.parameters())
    assert found == COUNTS[name]


def test_parameters_of_dalle_2s():
    """Appendix C gives widths and depths alone; head width, places and vocabulary are CLIP's."""
    net = network_on_meta(VARIANTS["ViT-H/16"])
    assert isinstance(net, Clip)
    counts = [sum(p.numel() for p in part.parameters()) for part in (net, net.image, net.text)]
    assert [round(count / 1e6) for count in counts] == [986, 632, 354]


def test_every_variant_is_counted():
    """A new one without its count would pass unseen."""
    assert set(VARIANTS) == {*COUNTS, "ViT-H/16"}


@pytest.mark.parametrize("name", ["RN50", "ViT-B/32"])
def test_json_keeps_the_kind_of_tower(name: str):
    """A bundle holds the config as JSON, where only the fields tell a ViT from a ResNet."""
    config = VARIANTS[name]
    assert from_json(ClipConfig, json.loads(json.dumps(to_json(config)))) == config


def test_heads_follow_the_width():
    """64 channels a head in every tower (SPEC of the released code), the pool of the ResNet included."""
    assert VARIANTS["ViT-L/14"].image == ViTConfig(patch=14, width=1024, depth=24)
    assert ViTConfig(width=1024).heads == 16 and TextConfig(width=768).heads == 12
    assert ResNetConfig(width=80).heads == 40 and ResNetConfig(width=80).features == 2560
    assert VARIANTS["RN50x4"].grid == 9 and VARIANTS["ViT-B/16"].grid == 14


def test_sizes_that_do_not_fit_are_refused():
    """By the field and its value."""
    with pytest.raises(ValueError, match="image_size 100 is not a multiple of 32"):
        ClipConfig(image_size=100)
    with pytest.raises(ValueError, match="image.width 100 is not a multiple of 64"):
        ViTConfig(width=100)
    with pytest.raises(ValueError, match="text.width 96"):
        TextConfig(width=96)
    with pytest.raises(ValueError, match="image.width 7 is odd"):
        ResNetConfig(width=7)
    with pytest.raises(ValueError, match="four stages"):
        ResNetConfig(layers=(1, 0, 1, 1))
    with pytest.raises(ValueError, match="text.length 2"):
        TextConfig(length=2)
