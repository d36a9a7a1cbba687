"""The Inception network of the Frechet inception distance, for weights that a user brings.

Its features (2,048 numbers a picture, after the last pool) are those of the network of December 2015 that
FID was defined with (Heusel et al. 2017), in the layout of its usual PyTorch port: average pools that do not
count their padding, and a maximum pool in the last block. No weights ship with us.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from armchair.core.errors import BadInput
from armchair.core.files import sha256
from armchair.core.packing import fill_module

SIDE = 299  # pixels; pictures are scaled to it bilinearly, as the port does
FEATURES = 2_048
BATCH = 32
DROPPED = ("fc.", "AuxLogits.")  # the classifiers behind the features

Kernel = int | tuple[int, int]
Row = tuple[str, int, Kernel, int]  # name, channels out, kernel, stride
Chain = Sequence[tuple[Row, ...]]  # one after another; rows of one tuple side by side on the same input


class Unit(nn.Module):
    """Convolution, batch normalisation, ReLU; padded to the same size at stride 1 unless told otherwise."""

    def __init__(self, channels: int, out: int, kernel: Kernel, stride: int = 1, same: bool = True):
        super().__init__()
        h, w = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (h // 2, w // 2) if same and stride == 1 else 0
        self.conv = nn.Conv2d(channels, out, (h, w), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Mixed(nn.Module):
    """Chains of units and a pool on the same input, their outputs side by side."""

    def __init__(self, channels: int, chains: Sequence[Chain], pool: str, pooled: int = 0):
        """pool: average or maximum keep the size and end in a 1x1 unit of `pooled` channels; halve has no
        unit.
        """
        super().__init__()
        self.pool = pool
        self.steps: list[list[list[str]]] = []
        self.channels = pooled if pooled else channels  # of the output
        for chain in chains:
            inside = channels
            for side_by_side in chain:
                for name, out, kernel, stride in side_by_side:
                    self.add_module(name, Unit(inside, out, kernel, stride))
                inside = sum(row[1] for row in side_by_side)
            self.steps.append([[row[0] for row in side_by_side] for side_by_side in chain])
            self.channels += inside
        if pooled:
            self.branch_pool = Unit(channels, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, h, w) -> (B, channels, h, w), or about half the size"""
        found: list[Tensor] = []
        for chain in self.steps:
            h = x
            for names in chain:
                h = torch.cat([self.get_submodule(name)(h) for name in names], dim=1)
            found.append(h)
        if self.pool == "halve":
            return torch.cat([*found, F.max_pool2d(x, 3, stride=2)], dim=1)
        if self.pool == "average":
            pooled = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        else:
            pooled = F.max_pool2d(x, 3, stride=1, padding=1)
        return torch.cat([*found, self.branch_pool(pooled)], dim=1)


def chain(name: str, *rows: tuple[int, Kernel] | tuple[int, Kernel, int]) -> Chain:
    """Units one after another, named name_1, name_2 ..., or just name where there is one."""
    names = [name] if len(rows) == 1 else [f"{name}_{i}" for i in range(1, len(rows) + 1)]
    return [
        ((label, row[0], row[1], row[2] if len(row) == 3 else 1),)
        for label, row in zip(names, rows, strict=True)
    ]


def forked(name: str, *rows: tuple[int, Kernel]) -> Chain:
    """A chain whose last unit is a 1x3 and a 3x1 side by side, of 384 channels each."""
    last = len(rows) + 1
    return [
        *chain(f"{name}", *rows, (0, 1))[:-1],
        ((f"{name}_{last}a", 384, (1, 3), 1), (f"{name}_{last}b", 384, (3, 1), 1)),
    ]


def block_a(channels: int, pooled: int) -> Mixed:
    double = chain("branch3x3dbl", (64, 1), (96, 3), (96, 3))
    five = chain("branch5x5", (48, 1), (64, 5))
    return Mixed(channels, [chain("branch1x1", (64, 1)), five, double], "average", pooled)


def block_b(channels: int) -> Mixed:
    double = chain("branch3x3dbl", (64, 1), (96, 3), (96, 3, 2))
    return Mixed(channels, [chain("branch3x3", (384, 3, 2)), double], "halve")


def block_c(channels: int, c: int) -> Mixed:
    seven = chain("branch7x7", (c, 1), (c, (1, 7)), (192, (7, 1)))
    double = chain("branch7x7dbl", (c, 1), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7)))
    return Mixed(channels, [chain("branch1x1", (192, 1)), seven, double], "average", 192)


def block_d(channels: int) -> Mixed:
    three = chain("branch3x3", (192, 1), (320, 3, 2))
    seven = chain("branch7x7x3", (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2))
    return Mixed(channels, [three, seven], "halve")


def block_e(channels: int, pool: str) -> Mixed:
    three, double = forked("branch3x3", (384, 1)), forked("branch3x3dbl", (448, 1), (384, 3))
    return Mixed(channels, [chain("branch1x1", (320, 1)), three, double], pool, 192)


class Inception(nn.Module):
    """Pictures to features."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3, same=False)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3)
        self.Conv2d_3b_1x1 = Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3, same=False)
        self.Mixed_5b = block_a(192, 32)
        self.Mixed_5c = block_a(256, 64)
        self.Mixed_5d = block_a(288, 64)
        self.Mixed_6a = block_b(288)
        self.Mixed_6b = block_c(768, 128)
        self.Mixed_6c = block_c(768, 160)
        self.Mixed_6d = block_c(768, 160)
        self.Mixed_6e = block_c(768, 192)
        self.Mixed_7a = block_d(768)
        self.Mixed_7b = block_e(1280, "average")
        self.Mixed_7c = block_e(2048, "maximum")

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 3, H, W) in 0..1, any size -> (B, 2048)"""
        x = F.interpolate(image, (SIDE, SIDE), mode="bilinear", align_corners=False)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(2 * x - 1)))
        x = F.max_pool2d(x, 3, stride=2)
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, stride=2)
        for name, block in self.named_children():
            x = block(x) if name.startswith("Mixed") else x
        return x.mean(dim=(2, 3))

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """images (N, 3, H, W) in 0..1 -> (N, 2048), in batches"""
        return torch.cat([self(part) for part in images.split(BATCH)])


def load_inception(path: Path) -> tuple[Inception, str]:
    """The network with the weights of a safetensors file in the port's names, and the file's sha256.

    Raises BadInput where the file is missing, no safetensors file, or of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise BadInput(f"--inception {path}: no such file; docs/evaluation.md says how to make one")
    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise BadInput(
            f"--inception {path} is no safetensors file ({error}); docs/evaluation.md says how to make one"
        ) from error
    with torch.device("meta"):
        net = Inception()
    kept = {key: value for key, value in stored.items() if not key.startswith(DROPPED)}
    for key in net.state_dict():
        if key.endswith("num_batches_tracked"):
            kept.setdefault(key, torch.tensor(0))
    fill_module(net, kept, f"--inception {path}")
    return net.eval(), sha256(path)
