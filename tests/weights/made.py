"""Published networks made again at tiny sizes: state dicts of the documented names and shapes, and what they
compute, written down with torch's functions alone.
"""

from __future__ import annotations

import gzip
import math
import sys
import types
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = dict[str, Tensor]
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def drawn(shapes: dict[str, tuple[int, ...]], seed: int) -> State:
    """Numbers that keep activations near one: gains near 1, the rest scaled by the fan-in."""
    rng = torch.Generator().manual_seed(seed)
    found: State = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=rng)
        if name.endswith("running_var"):
            value = value.abs() + 0.5
        elif len(shape) == 1 and name.endswith("weight"):
            value = 1 + 0.1 * value
        elif len(shape) > 1:
            value /= math.sqrt(math.prod(shape[1:]) if name.endswith("weight") else shape[-1])
        else:
            value *= 0.1
        found[name] = value
    return found


# -- the dVAE (arXiv:2102.12092, appendix A) ---------------------------------------------------------------


class Convolution(nn.Module):
    """Its parameters are called w and b."""

    def __init__(self, into: int, out: int, kernel: int):
        super().__init__()
        self.w = nn.Parameter(torch.randn(out, into, kernel, kernel) / math.sqrt(into * kernel**2))
        self.b = nn.Parameter(0.3 * torch.randn(out))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.w, self.b, padding=self.w.shape[-1] // 2)


class HalfBlock(nn.Module):
    """id_path + res_path / layers**2."""

    def __init__(self, into: int, out: int, layers: int, kernels: tuple[int, ...]):
        super().__init__()
        self.post_gain = 1 / layers**2
        self.id_path = Convolution(into, out, 1) if into != out else nn.Identity()
        widths = (into, *[out // 4] * 3, out)
        path: OrderedDict[str, nn.Module] = OrderedDict()
        for i, kernel in enumerate(kernels):
            path[f"relu_{i + 1}"] = nn.ReLU()
            path[f"conv_{i + 1}"] = Convolution(widths[i], widths[i + 1], kernel)
        self.res_path = nn.Sequential(path)

    def forward(self, x: Tensor) -> Tensor:
        return self.id_path(x) + self.post_gain * self.res_path(x)


class Half(nn.Module):
    """An encoder or a decoder: input, groups, output."""

    def __init__(self, widths: list[int], ends: tuple[int, int, int], blocks: int, kernels: tuple[int, ...]):
        """widths: of each group.  ends: channels in, after the first layer and out."""
        super().__init__()
        encodes = kernels[-1] == 1
        groups: OrderedDict[str, nn.Module] = OrderedDict(input=Convolution(*ends[:2], 7 if encodes else 1))
        now = ends[1]
        for g, width in enumerate(widths):
            group: OrderedDict[str, nn.Module] = OrderedDict()
            for b in range(blocks):
                group[f"block_{b + 1}"] = HalfBlock(now, width, len(widths) * blocks, kernels)
                now = width
            if g + 1 < len(widths):
                group["pool" if encodes else "upsample"] = (
                    nn.MaxPool2d(2) if encodes else nn.Upsample(scale_factor=2, mode="nearest")
                )
            groups[f"group_{g + 1}"] = nn.Sequential(group)
        groups["output"] = nn.Sequential(OrderedDict(relu=nn.ReLU(), conv=Convolution(now, ends[2], 1)))
        self.blocks = nn.Sequential(groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class Encoder(Half):
    def __init__(self, width: int, vocab: int, groups: int, blocks: int):
        widths = [width * 2**g for g in range(groups)]
        super().__init__(widths, (3, width, vocab), blocks, (3, 3, 3, 1))


class Decoder(Half):
    def __init__(self, width: int, vocab: int, groups: int, blocks: int, code: int):
        widths = [width * 2**g for g in reversed(range(groups))]
        super().__init__(widths, (vocab, code, 6), blocks, (1, 3, 3, 3))


@contextmanager
def published_names() -> Iterator[None]:
    """The classes above under the modules and names that the published pickles hold."""
    homes = {"dall_e.encoder": ("Encoder",), "dall_e.decoder": ("Decoder",), "dall_e.utils": ("Conv2d",)}
    ours = {"Encoder": Encoder, "Decoder": Decoder, "Conv2d": Convolution}
    before = [(cls, cls.__module__, cls.__qualname__) for cls in (*ours.values(), HalfBlock)]
    modules = {name: types.ModuleType(name) for name in ("dall_e", *homes)}
    for home, names in homes.items():
        for name in names:
            setattr(modules[home], name, ours[name])
            ours[name].__module__, ours[name].__qualname__ = home, name
    modules["dall_e.encoder"].EncoderBlock = HalfBlock  # type: ignore[attr-defined]
    HalfBlock.__module__, HalfBlock.__qualname__ = "dall_e.encoder", "EncoderBlock"
    sys.modules.update(modules)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch would store their source too, and finds none
            yield
    finally:
        for cls, module, name in before:
            cls.__module__, cls.__qualname__ = module, name
        for name in modules:
            del sys.modules[name]


# -- CLIP (arXiv:2103.00020) -------------------------------------------------------------------------------


def block_shapes(start: str, width: int, depth: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(depth):
        at = f"{start}.{i}"
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"{at}.{norm}.weight": (width,), f"{at}.{norm}.bias": (width,)}
        shapes |= {
            f"{at}.attn.in_proj_weight": (3 * width, width),
            f"{at}.attn.in_proj_bias": (3 * width,),
            f"{at}.attn.out_proj.weight": (width, width),
            f"{at}.attn.out_proj.bias": (width,),
            f"{at}.mlp.c_fc.weight": (4 * width, width),
            f"{at}.mlp.c_fc.bias": (4 * width,),
            f"{at}.mlp.c_proj.weight": (width, 4 * width),
            f"{at}.mlp.c_proj.bias": (width,),
        }
    return shapes


def clip_state(
    *,
    vocab: int,
    length: int,
    text: tuple[int, int],
    embed: int,
    vit: tuple[int, int, int, int] | None = None,
    resnet: tuple[int, tuple[int, ...], int] | None = None,
    seed: int = 0,
) -> State:
    """OpenAI's names. text: width, depth. vit: patch, grid, width, depth. resnet: width, layers, grid."""
    width = text[0]
    shapes: dict[str, tuple[int, ...]] = {
        "positional_embedding": (length, width),
        "text_projection": (width, embed),
        "token_embedding.weight": (vocab, width),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
        **block_shapes("transformer.resblocks", *text),
    }
    if vit is not None:
        patch, grid, wide, depth = vit
        shapes |= {
            "visual.class_embedding": (wide,),
            "visual.positional_embedding": (grid**2 + 1, wide),
            "visual.proj": (wide, embed),
            "visual.conv1.weight": (wide, 3, patch, patch),
            **{f"visual.ln_{at}.{end}": (wide,) for at in ("pre", "post") for end in ("weight", "bias")},
            **block_shapes("visual.transformer.resblocks", wide, depth),
        }
    if resnet is not None:
        shapes |= resnet_shapes(*resnet, embed)
    state = drawn(shapes, seed)
    state["logit_scale"] = torch.tensor(math.log(1 / 0.07))
    state |= {name: torch.tensor(3) for name in counters(state)}
    return state


def resnet_shapes(width: int, layers: tuple[int, ...], grid: int, embed: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, norm: str, into: int, out: int, kernel: int) -> None:
        shapes[f"visual.{name}.weight"] = (out, into, kernel, kernel)
        for end in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"visual.{norm}.{end}"] = (out,)

    for i, (into, out) in enumerate([(3, width // 2), (width // 2, width // 2), (width // 2, width)]):
        conv(f"conv{i + 1}", f"bn{i + 1}", into, out, 3)
    now = width
    for stage, blocks in enumerate(layers):
        hidden = width * 2**stage
        for b in range(blocks):
            at = f"layer{stage + 1}.{b}"
            conv(f"{at}.conv1", f"{at}.bn1", now, hidden, 1)
            conv(f"{at}.conv2", f"{at}.bn2", hidden, hidden, 3)
            conv(f"{at}.conv3", f"{at}.bn3", hidden, 4 * hidden, 1)
            if b == 0:
                conv(f"{at}.downsample.0", f"{at}.downsample.1", now, 4 * hidden, 1)
            now = 4 * hidden
    shapes["visual.attnpool.positional_embedding"] = (grid**2 + 1, now)
    for x in "qkvc":
        out = embed if x == "c" else now
        shapes |= {f"visual.attnpool.{x}_proj.weight": (out, now), f"visual.attnpool.{x}_proj.bias": (out,)}
    return shapes


def counters(state: State) -> list[str]:
    return [name.replace("running_mean", "num_batches_tracked") for name in state if "running_mean" in name]


def blocks(s: State, start: str, h: Tensor, quick: bool, mask: Tensor | None = None) -> Tensor:
    """h (B, L, D); mask (L, L) added to the scores"""
    depth = len([name for name in s if name.startswith(f"{start}.") and name.endswith("ln_1.weight")])
    for i in range(depth):
        at, width = f"{start}.{i}", h.shape[-1]
        x = F.layer_norm(h, (width,), s[f"{at}.ln_1.weight"], s[f"{at}.ln_1.bias"])
        qkv = x @ s[f"{at}.attn.in_proj_weight"].T + s[f"{at}.attn.in_proj_bias"]
        out = heads_apart(*qkv.chunk(3, dim=-1), mask)
        h = h + out @ s[f"{at}.attn.out_proj.weight"].T + s[f"{at}.attn.out_proj.bias"]
        x = F.layer_norm(h, (width,), s[f"{at}.ln_2.weight"], s[f"{at}.ln_2.bias"])
        x = x @ s[f"{at}.mlp.c_fc.weight"].T + s[f"{at}.mlp.c_fc.bias"]
        x = x * torch.sigmoid(1.702 * x) if quick else F.gelu(x)
        h = h + x @ s[f"{at}.mlp.c_proj.weight"].T + s[f"{at}.mlp.c_proj.bias"]
    return h


def heads_apart(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention in heads of 64 channels, one after the other."""
    outs = []
    for a in range(0, q.shape[-1], 64):
        scores = q[..., a : a + 64] @ k[..., a : a + 64].mT / 8
        outs.append((scores if mask is None else scores + mask).softmax(-1) @ v[..., a : a + 64])
    return torch.cat(outs, -1)


def clip_text(s: State, tokens: Tensor, quick: bool) -> tuple[Tensor, Tensor]:
    """tokens (B, L) -> (B, E), (B, L, W)"""
    length = tokens.shape[1]
    mask = torch.full((length, length), -torch.inf).triu(1)
    h = s["token_embedding.weight"][tokens] + s["positional_embedding"][:length]
    h = blocks(s, "transformer.resblocks", h, quick, mask)
    h = F.layer_norm(h, h.shape[-1:], s["ln_final.weight"], s["ln_final.bias"])
    return h[torch.arange(len(h)), tokens.argmax(1)] @ s["text_projection"], h


def clip_image(s: State, image: Tensor, quick: bool) -> Tensor:
    """image (B, 3, S, S) in 0..1 -> (B, E)"""
    x = (image - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    s = {name.removeprefix("visual."): value for name, value in s.items() if name.startswith("visual.")}
    if "proj" not in s:
        return resnet_image(s, x)
    cells = F.conv2d(x, s["conv1.weight"], stride=s["conv1.weight"].shape[-1]).flatten(2).mT
    first = s["class_embedding"].expand(len(x), 1, -1)
    h = torch.cat([first, cells], 1) + s["positional_embedding"]
    h = F.layer_norm(h, h.shape[-1:], s["ln_pre.weight"], s["ln_pre.bias"])
    h = blocks(s, "transformer.resblocks", h, quick)[:, 0]
    return F.layer_norm(h, h.shape[-1:], s["ln_post.weight"], s["ln_post.bias"]) @ s["proj"]


def resnet_image(s: State, x: Tensor) -> Tensor:
    def conv(x: Tensor, name: str, norm: str, stride: int = 1) -> Tensor:
        weight = s[f"{name}.weight"]
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        mean, var, gain, bias = (s[f"{norm}.{x}"] for x in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, gain, bias)

    for i in (1, 2, 3):
        x = conv(x, f"conv{i}", f"bn{i}", 2 if i == 1 else 1).relu()
    x = F.avg_pool2d(x, 2)
    for stage in (1, 2, 3, 4):
        b = 0
        while f"layer{stage}.{b}.conv1.weight" in s:
            at, pool = f"layer{stage}.{b}", 2 if stage > 1 and b == 0 else 1
            h = conv(conv(x, f"{at}.conv1", f"{at}.bn1").relu(), f"{at}.conv2", f"{at}.bn2").relu()
            h = conv(F.avg_pool2d(h, pool), f"{at}.conv3", f"{at}.bn3")
            if b == 0:
                x = conv(F.avg_pool2d(x, pool), f"{at}.downsample.0", f"{at}.downsample.1")
            x, b = (x + h).relu(), b + 1
    cells = x.flatten(2).mT
    places = torch.cat([cells.mean(1, keepdim=True), cells], 1) + s["attnpool.positional_embedding"]
    q, k, v, c = ((s[f"attnpool.{x}_proj.weight"].T, s[f"attnpool.{x}_proj.bias"]) for x in "qkvc")
    h = heads_apart(*((places[:, :n] @ w + b) for n, (w, b) in ((1, q), (None, k), (None, v))))
    return h[:, 0] @ c[0] + c[1]


def huggingface(state: State) -> State:
    """OpenAI's names and layout of a ViT as Hugging Face's: thirds apart, projections turned."""
    found: State = {}
    for name, value in state.items():
        tower = "vision_model" if name.startswith("visual.") else "text_model"
        rest = name.removeprefix("visual.")
        if name in ("text_projection", "visual.proj"):
            found[{"proj": "visual_projection"}.get(rest, rest) + ".weight"] = value.T.contiguous()
        elif name == "logit_scale":
            found[name] = value
        elif rest.startswith("transformer.resblocks."):
            _, _, n, part, *end = rest.split(".")
            at = f"{tower}.encoder.layers.{n}"
            if part == "attn" and end[0].startswith("in_proj"):
                for x, third in zip("qkv", value.chunk(3), strict=True):
                    found[f"{at}.self_attn.{x}_proj.{end[0].removeprefix('in_proj_')}"] = third.contiguous()
            else:
                part = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn": "self_attn"}.get(part, part)
                ends = ".".join(end).replace("c_fc", "fc1").replace("c_proj", "fc2")
                found[f"{at}.{part}.{ends}"] = value
        else:
            new = {
                "positional_embedding": "embeddings.position_embedding.weight",
                "class_embedding": "embeddings.class_embedding",
                "conv1.weight": "embeddings.patch_embedding.weight",
                "token_embedding.weight": "embeddings.token_embedding.weight",
            }.get(rest)
            for old, better in (
                ("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm"), ("ln_final", "final_layer_norm"),
            ):  # fmt: skip
                new = rest.replace(old, better) if rest.startswith(old) else new
            assert new is not None, name
            found[f"{tower}.{new}"] = value
    return found


class Node(nn.Module):
    """A module made of a state dict, so that a TorchScript archive of any names can be saved."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def save_archive(state: State, path: Path) -> None:
    root = Node()
    for name, value in state.items():
        *parts, last = name.split(".")
        at: nn.Module = root
        for part in parts:
            if part not in dict(at.named_children()):
                at.add_module(part, Node())
            at = at.get_submodule(part)
        if value.is_floating_point() and "running" not in last:
            at.register_parameter(last, nn.Parameter(value))
        else:
            at.register_buffer(last, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls TorchScript deprecated
        torch.jit.script(root).save(str(path))


# -- CLIP's tokenizer --------------------------------------------------------------------------------------

MERGES = ["a t</w>", "c at</w>", "r e", "re d</w>", "t h", "th e</w>", "ë ¹", "ë¹ ¨", "' s</w>", "! !</w>"]
VOCAB = 512 + len(MERGES) + 2


def merges_file(extra: int = 3) -> bytes:
    """The released file in small: a line of version, merges, and lines after them that are none."""
    return gzip.compress("\n".join(["#version: 0.2", *MERGES, *["x y"] * extra]).encode())
