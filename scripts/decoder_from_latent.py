"""A decoder of DALL·E 2 that draws as DALL·E 3's latent model does, to train on: the latent U-Net between a
convolution that makes latents of noisy pixels and the autoencoder's decoder. CLIP's image embedding is new to
it and changes nothing yet.

Run      python scripts/decoder_from_latent.py --out runs/start
         armchair train dalle2_decoder_emoji --init runs/start --out runs/decoder
Needs    a dalle3 bundle whose text encoder is CLIP's tower, a dalle2 bundle for the scale of its embeddings,
         and the drawings of Emoji World (npm fetches them)
Prints   how much of the latents' variance the convolution explains, on pictures that it was not fitted to
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from armchair.cli.train import open_bundle
from armchair.core.bundle import Bundle, Component, save_bundle
from armchair.core.config import from_json, to_json
from armchair.core.images import from_pixels
from armchair.core.packing import fill_module
from armchair.dalle2.cells import Cells
from armchair.dalle2.config import CellsConfig, DecoderConfig
from armchair.dalle2.decoder import Decoder
from armchair.dalle2.stage import pixels_of
from armchair.dalle3.config import ClipWordsConfig, LatentConfig
from armchair.nn.autoencoder import Autoencoder, AutoencoderConfig
from armchair.recipes.dalle2_decoder_emoji import recipe

FITTED, HELD_OUT, ROWS = 768, 96, 32  # pictures; of a step
RIDGE = 1e-4  # of the squared numbers' mean
HELD_OUT_FROM = 10_000_000  # index of the first unseen scene


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latent", default="dalle3", help="the dalle3 bundle")
    parser.add_argument("--decoder", default="dalle2", help="the dalle2 bundle whose embeddings' scale stays")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    source, before = open_bundle(args.latent), open_bundle(args.decoder)
    latent = from_json(LatentConfig, source.config("latent"), "latent")
    sizes = from_json(AutoencoderConfig, source.config("autoencoder"), "autoencoder")
    if not isinstance(latent.words, ClipWordsConfig) or not latent.is_flow or not latent.inpaints:
        raise SystemExit(
            f"{args.latent}: a flow that inpaints and reads the states of CLIP's tower is needed"
        )
    if sizes.attention:
        raise SystemExit(f"{args.latent}: an autoencoder without attention is needed")
    net = Decoder(config_of(latent, sizes, from_json(DecoderConfig, before.config("decoder"), "decoder")))
    move(net, source, before, latent)
    assert net.cells is not None
    fit(net.cells, source, sizes)
    save_bundle(
        args.out,
        kind="dalle2",
        name=args.out.name,
        components={
            "decoder": Component(config=to_json(net.config), tensors=net.state_dict(), storage="float32")
        },
        languages=source.manifest.languages,
        licence=source.manifest.licence,
        trained={},
        scores={},
    )


def config_of(latent: LatentConfig, sizes: AutoencoderConfig, before: DecoderConfig) -> DecoderConfig:
    """Sizes of the decoder that holds the latent model's U-Net."""
    return replace(
        before,
        image_size=latent.side,
        sketch=latent.sketch,
        layout=latent.layout,
        draft=latent.draft,
        pooled=latent.pooled,
        levels=latent.levels,
        cells=CellsConfig(
            channels=latent.channels, patch=latent.stride, pixels=sizes.drawn, groups=sizes.groups
        ),
        patch=latent.patch,
        time_width=latent.time_width,
        head_width=latent.head_width,
        resample=latent.resample,
        groups=latent.groups,
        qk_norm=latent.qk_norm,
        places=latent.places,
        prediction="x0",
    )


@torch.no_grad()
def move(net: Decoder, source: Bundle, before: Bundle, latent: LatentConfig) -> None:
    """Weights into the places that they have in the decoder; CLIP's embedding starts without a say."""
    theirs, coder, old = (
        bundle.tensors(name)
        for bundle, name in ((source, "latent"), (source, "autoencoder"), (before, "decoder"))
    )
    own = net.state_dict()
    for name, value in theirs.items():
        if name.startswith(("unet.", "sketch.", "layout.", "draft.")):
            own[name] = torch.zeros_like(own[name])  # the variance's channels, which come last, stay so
            own[name][: len(value)] = value
    for part in ("weight", "bias"):
        own[f"caption_to_time.{part}"] = theirs[f"pooled.{part}"]
    mean, std = theirs["scale.mean"], theirs["scale.std"]
    own["cells.back.weight"] = coder["unmoments.weight"] * std[:, None, None]
    own["cells.back.bias"] = coder["unmoments.bias"] + coder["unmoments.weight"].flatten(1) @ mean
    for name, value in coder.items():
        if name.startswith("decoder."):
            own[name.replace("decoder.", "cells.pixels.", 1)] = value
    own.update({name: old[name] for name in ("scale.mean", "scale.std", "no_image")})
    for name in ("image_to_time", "image_to_tokens"):
        own.update({f"{name}.{part}": torch.zeros_like(own[f"{name}.{part}"]) for part in ("weight", "bias")})
    fill_module(net, own, "decoder")


@torch.no_grad()
def fit(cells: Cells, source: Bundle, sizes: AutoencoderConfig) -> None:
    """The convolution, by ridge regression to the encoder's latents in the latent model's scale."""
    coder = Autoencoder(sizes)
    fill_module(coder, source.tensors("autoencoder"), "autoencoder")
    scale = {name: source.tensors("latent")[f"scale.{name}"][:, None, None] for name in ("mean", "std")}
    world = recipe().data.open()

    def pairs(first: int, count: int) -> tuple[Tensor, Tensor]:
        """-> (N, 3 P P 9 + 1) neighbourhoods of cells, (N, C) their latents"""
        seen, wanted = [], []
        for start in range(first, first + count, ROWS):
            x = from_pixels(
                torch.stack([pixels_of(world[i], sizes.image_size) for i in range(start, start + ROWS)]) / 255
            )
            near = F.unfold(F.pixel_unshuffle(x, sizes.patch), 3, padding=1)  # (B, 9 P P 3, h w)
            z = (coder.encode(x).mean - scale["mean"]) / scale["std"]
            seen.append(F.pad(near, (0, 0, 0, 1), value=1.0).mT.flatten(0, 1))
            wanted.append(z.flatten(2).mT.flatten(0, 1))
        return torch.cat(seen), torch.cat(wanted)

    x, z = (part.double() for part in pairs(0, FITTED))
    gram = x.T @ x
    gram += RIDGE * gram.diag().mean() * torch.eye(len(gram), dtype=torch.float64)
    weights = torch.linalg.solve(gram, x.T @ z).float()
    assert cells.into.bias is not None
    cells.into.weight.copy_(weights[:-1].T.reshape(cells.into.weight.shape))
    cells.into.bias.copy_(weights[-1])
    x, z = pairs(HELD_OUT_FROM, HELD_OUT)
    explained = 1 - (x @ weights - z).square().mean(dim=0) / z.var(dim=0)
    print("variance explained, of each channel:", ", ".join(f"{value:.3f}" for value in explained.tolist()))


if __name__ == "__main__":
    main()
