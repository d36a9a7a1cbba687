"""DALL·E 1's image tokenizer: a discrete VAE (arXiv:2102.12092, section 2.1 and appendix A).

    image (B, 3, H, W) ─ encoder ─► logits (B, K, h, w) ─ argmax ─► codes (B, h, w) ─ decoder ─► image

B batch, K codebook entries, h = H / stride. Pixels are in [0, 1]; the networks see them squeezed to
[eps, 1 - eps], and hold channels last in memory, where convolutions are fastest.
"""

import math
from collections import OrderedDict
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from armchair.dalle1.config import DVAEConfig

PIXEL_EPS = 0.1  # appendix A.3: the logit of a pixel must stay finite


def map_pixels(image: Tensor) -> Tensor:
    """[0, 1] to [eps, 1 - eps], any shape (equation 3)."""
    return (1 - 2 * PIXEL_EPS) * image + PIXEL_EPS


def unmap_pixels(x: Tensor) -> Tensor:
    """The inverse of `map_pixels`, clamped to [0, 1]."""
    return ((x - PIXEL_EPS) / (1 - 2 * PIXEL_EPS)).clamp(0, 1)


class Pointwise(nn.Conv2d):
    """A 1x1 convolution as the matrix product that it is: on a CPU the gradients come a third faster."""

    def forward(self, input: Tensor) -> Tensor:
        """input (B, channels_in, h, w), channels last in memory -> (B, channels_out, h, w), channels last"""
        return F.linear(input.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def conv(channels_in: int, channels_out: int, kernel: int) -> nn.Conv2d:
    """A same-size convolution, weights normal with std 1 / sqrt(fan in), bias zero."""
    kind = Pointwise if kernel == 1 else nn.Conv2d
    layer = kind(channels_in, channels_out, kernel, padding=(kernel - 1) // 2)
    assert layer.bias is not None
    nn.init.normal_(layer.weight, std=1 / math.sqrt(channels_in * kernel**2))
    nn.init.zeros_(layer.bias)
    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
    return layer


class Block(nn.Module):
    """id_path(x) + post_gain * res_path(x): four convolutions, a ReLU before each, hidden width a quarter.

    grow: the block follows a nearest 2x upsampling. What is pointwise in it gives every copy of a pixel the
    same, so it is done before the copies are made: a sixth less work in the whole decoder.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernels: tuple[int, int, int, int],
        post_gain: float,
        *,
        grow: bool = False,
    ):
        super().__init__()
        assert not grow or kernels[0] == 1
        hidden = channels_out // 4
        widths = (channels_in, hidden, hidden, hidden, channels_out)
        self.post_gain = post_gain
        self.id_path = conv(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()
        self.grow = nn.Upsample(scale_factor=2, mode="nearest") if grow else nn.Identity()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i, kernel in enumerate(kernels, start=1):
            layers[f"relu_{i}"] = nn.ReLU(inplace=i > 1)  # the first reads x, which the id_path reads too
            if i == 2:
                layers["grow"] = self.grow
            layers[f"conv_{i}"] = conv(widths[i - 1], widths[i], kernel)
        self.res_path = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, channels_in, h, w) -> (B, channels_out, h, w), or (B, channels_out, 2h, 2w) where it grows"""
        return torch.add(self.grow(self.id_path(x)), self.res_path(x), alpha=self.post_gain)


class Encoder(nn.Module):
    """Pixels to a distribution over the codebook for every cell."""

    def __init__(self, config: DVAEConfig):
        super().__init__()
        blocks: OrderedDict[str, nn.Module] = OrderedDict(input=conv(3, config.width, 7))
        channels = config.width
        for g in range(config.groups):
            width = config.width * 2**g
            group: OrderedDict[str, nn.Module] = OrderedDict()
            for b in range(config.blocks):
                group[f"block_{b + 1}"] = Block(channels, width, (3, 3, 3, 1), config.post_gain)
                channels = width
            if g + 1 < config.groups:
                group["pool"] = nn.MaxPool2d(2)  # better than average pooling for the bound (section 2.1)
            blocks[f"group_{g + 1}"] = nn.Sequential(group)
        blocks["output"] = nn.Sequential(OrderedDict(relu=nn.ReLU(), conv=conv(channels, config.vocab, 1)))
        self.blocks = nn.Sequential(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 3, H, W) mapped pixels -> logits (B, K, h, w), float32"""
        h = self.features(x)
        with torch.autocast(h.device.type, enabled=False):  # the logits are an fp32 island (appendix A)
            return self.head(h.float())

    def features(self, x: Tensor) -> Tensor:
        """x (B, 3, H, W) mapped pixels -> (B, C, h, w), at least 0: what the logits are linear in"""
        return self.blocks[:-1](x.contiguous(memory_format=torch.channels_last)).relu_()

    @property
    def head(self) -> nn.Conv2d:
        """The last 1x1 convolution, to the logits."""
        return cast(nn.Conv2d, self.blocks.get_submodule("output.conv"))


class Decoder(nn.Module):
    """A relaxed or one-hot choice of codes to the location and scale of every colour value."""

    def __init__(self, config: DVAEConfig):
        super().__init__()
        blocks: OrderedDict[str, nn.Module] = OrderedDict(input=conv(config.vocab, config.code_width, 1))
        channels = config.code_width
        for g in range(config.groups):
            width = config.width * 2 ** (config.groups - 1 - g)
            group: OrderedDict[str, nn.Module] = OrderedDict()
            for b in range(config.blocks):
                grow = g > 0 and b == 0
                group[f"block_{b + 1}"] = Block(channels, width, (1, 3, 3, 3), config.post_gain, grow=grow)
                channels = width
            blocks[f"group_{g + 1}"] = nn.Sequential(group)
        last: OrderedDict[str, nn.Module] = OrderedDict(relu=nn.ReLU(inplace=True), conv=conv(channels, 6, 1))
        blocks["output"] = nn.Sequential(last)
        self.blocks = nn.Sequential(blocks)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z (B, K, h, w) weights over the codebook -> mu (B, 3, H, W), log scale (B, 3, H, W)"""
        with torch.autocast(z.device.type, enabled=False):
            h = self.codebook(z.float())
        return self.rest(h)

    def lookup(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """codes (B, h, w) -> the same as the one-hot input, without the one-hot."""
        weight, bias = self.codebook.weight, self.codebook.bias
        assert bias is not None
        table = weight.squeeze((2, 3)).T + bias  # (K, C)
        return self.rest(F.embedding(codes, table).permute(0, 3, 1, 2))  # (B, C, h, w)

    @property
    def codebook(self) -> nn.Conv2d:
        """The first 1x1 convolution: column k of its weight is what code k looks like."""
        return cast(nn.Conv2d, self.blocks.get_submodule("input"))

    def rest(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Everything after the codebook lookup."""
        h = self.blocks[1:](h.contiguous(memory_format=torch.channels_last))
        mu, log_scale = h.float().chunk(2, dim=1)
        return mu, log_scale


class DVAE(nn.Module):
    """Encoder and decoder around a codebook of `vocab` entries."""

    def __init__(self, config: DVAEConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """image (B, 3, H, W) in [0, 1] -> codes (B, h, w): the likeliest, without noise (section 2.2)"""
        return self.encoder(map_pixels(image)).argmax(dim=1)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """codes (B, h, w) -> image (B, 3, H, W) in [0, 1]; the predicted scale is not used (appendix A.3)"""
        mu, _ = self.decoder.lookup(codes)
        return unmap_pixels(torch.sigmoid(mu))


def logit_laplace_nll(x: Tensor, mu: Tensor, log_scale: Tensor) -> Tensor:
    """-ln f(x | mu, b) of every value, same shape; x is mapped pixels (equation 2).

    f is a density on (0, 1), so this may be negative.
    """
    logit = torch.log(x) - torch.log1p(-x)
    return (
        math.log(2) + log_scale + torch.log(x) + torch.log1p(-x) + (logit - mu).abs() * torch.exp(-log_scale)
    )


def kl_from_uniform(logits: Tensor) -> Tensor:
    """logits (B, K, h, w) -> (B, h, w): KL of the posterior from the uniform prior, ln K - H(q), in nats."""
    log_q = F.log_softmax(logits.movedim(1, -1), dim=-1)  # over what lies next to each other
    return (log_q.exp() * log_q).sum(dim=-1) + math.log(logits.shape[1])


class Relaxed(torch.autograd.Function):
    """See `relax`. The arrays have an entry a code and cell, and are read from memory as seldom as can be: so
    many cells at a time that they stay in the cache. Kept for the backward pass: logits and result.
    """

    CELLS = 32  # at a time; a megabyte of 8,192 codes

    @staticmethod
    def forward(ctx: Any, logits: Tensor, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """logits, uniform (N, K) -> z (N, K), the negative entropy of the posterior (N,)"""
        z, negentropy = torch.empty_like(logits), logits.new_empty(len(logits))
        for start in range(0, len(logits), Relaxed.CELLS):
            part = slice(start, start + Relaxed.CELLS)
            gumbel = uniform[part].log().neg_().log_()  # of the other sign
            torch.softmax(torch.sub(logits[part], gumbel, out=gumbel).div_(temperature), -1, out=z[part])
            log_q = F.log_softmax(logits[part], -1)
            torch.linalg.vecdot(log_q.exp(), log_q, out=negentropy[part])
        ctx.save_for_backward(logits, z, negentropy)
        ctx.temperature = temperature
        return z, negentropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        logits, z, negentropy = ctx.saved_tensors
        dz, dn = grads
        out = torch.empty_like(logits)
        for start in range(0, len(logits), Relaxed.CELLS):
            part = slice(start, start + Relaxed.CELLS)
            log_q = F.log_softmax(logits[part], -1)
            q = log_q.exp()
            grad = torch.mul(q, log_q.sub_(negentropy[part, None]), out=out[part]).mul_(dn[part, None])
            mean = torch.linalg.vecdot(dz[part], z[part]).unsqueeze(1)
            grad.addcmul_(torch.sub(dz[part], mean, out=q), z[part], value=1 / ctx.temperature)
        return out, None, None


def relax(logits: Tensor, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """logits (B, K, h, w), uniform noise in [0, 1) of the same shape -> a relaxed one-hot over K (B, K, h, w)
    by the Gumbel-softmax (section 2.1), and the KL of the posterior from the uniform prior (B, h, w) in nats.

    Noise of exactly 0 gives its code no weight. Fastest where codes of a cell are neighbours in memory.
    """
    B, K, h, w = logits.shape
    rows = (x.permute(0, 2, 3, 1).reshape(-1, K) for x in (logits, uniform))
    with torch.autocast(logits.device.type, enabled=False):
        z, negentropy = cast(tuple[Tensor, Tensor], Relaxed.apply(*rows, temperature))
    return z.view(B, h, w, K).permute(0, 3, 1, 2), negentropy.view(B, h, w) + math.log(K)
