"""FID's Inception network: the published size, and the same numbers as the usual port."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from armchair.core.errors import ArmchairError
from armchair.core.files import sha256
from armchair.evaluation.inception import FEATURES, Inception, load_inception

REFERENCE = {294: 0.11459, 1423: 0.057148, 1989: 0.025239, 170: 0.002941}  # feature -> value
REFERENCE_MEAN = 0.0117803


def weights() -> dict[str, torch.Tensor]:
    """Made by a formula, in the order of the names, so that other programs can make the same."""
    with torch.device("meta"):
        shapes = {name: x.shape for name, x in Inception().state_dict().items()}
    found: dict[str, torch.Tensor] = {}
    for i, (name, shape) in enumerate(sorted(shapes.items())):
        wave = (
            torch.arange(shape.numel(), dtype=torch.float64)
            .mul_(0.7391 + 0.001 * i)
            .sin_()
            .float()
            .view(shape)
        )
        if name.endswith("conv.weight"):
            found[name] = wave * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        elif name.endswith(("bn.weight", "running_var")):
            found[name] = 1 + 0.2 * wave
        elif name.endswith(("bn.bias", "running_mean")):
            found[name] = 0.1 * wave
    return found


def test_size():
    """21,785,568 parameters: the port's 23,850,960 less its classifier."""
    with torch.device("meta"):
        net = Inception()
    assert sum(p.numel() for p in net.parameters()) == 21_785_568 == 23_850_960 - 1_008 * 2_049


def test_same_numbers_as_the_port(tmp_path: Path):
    """REFERENCE: pytorch-fid 0.3.0 with torchvision 0.29 and the weights above. A pool that counts its
    padding, or another pool in the last block, changes them.
    """
    path = tmp_path / "inception.safetensors"
    save_file({**weights(), "fc.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}, path)
    net, digest = load_inception(path)
    assert digest == sha256(path)
    image = torch.arange(3 * 32 * 32).float().mul(0.37).sin().view(1, 3, 32, 32) / 2 + 0.5
    features = net.features(image)[0]
    assert features.shape == (FEATURES,)
    assert features[list(REFERENCE)].tolist() == pytest.approx(list(REFERENCE.values()), rel=1e-3)
    assert features.mean().item() == pytest.approx(REFERENCE_MEAN, rel=1e-4)


def test_other_files(tmp_path: Path):
    """Missing, no safetensors, another network: one line that says what is wrong."""
    path = tmp_path / "x.safetensors"
    with pytest.raises(ArmchairError, match="no such file; docs/evaluation.md"):
        load_inception(path)
    path.write_bytes(b"\x80\x04")
    with pytest.raises(ArmchairError, match="no safetensors file"):
        load_inception(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ArmchairError, match=r"x\.safetensors: tensor Conv2d_1a_3x3\.conv\.weight is missing"):
        load_inception(path)
