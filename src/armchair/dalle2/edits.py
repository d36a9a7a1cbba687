"""What DALL·E 2 does with a picture: variations, ways between pictures, text diffs, inpainting, probing
(arXiv:2204.06125, sections 3 and 4; inpainting as in arXiv:2112.10741).

A picture's latent has two parts: z, its CLIP embedding, and x_T, the noise that DDIM turns into it, found by
running DDIM backwards with the decoder conditioned on z (section 3). B pictures, Z numbers of an embedding,
S pixels a side that the decoder draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from armchair.clip.preprocess import fit_picture, to_batch
from armchair.core.errors import BadInput, Unsupported
from armchair.core.images import from_pixels, parse_size, resized, square, to_pixels, to_tensor
from armchair.core.rng import SeedBatch
from armchair.core.step import Preview
from armchair.diffusion.drawing import sample
from armchair.diffusion.masks import known_part
from armchair.diffusion.samplers import ddim_invert
from armchair.upsample.cascade import restored

if TYPE_CHECKING:
    from armchair.dalle2.pipeline import Dalle2

STEPS = 50  # of DDIM, there and back, where a picture is to come back as it was
CORRECTIONS = 2  # how often each level of the way back is found again
ETA = 1.0  # noise between the steps of a variation
VARIED = 2.0  # guidance of a variation where all of its noise is new; less of it, less guidance
STRENGTH = 0.5  # how far a text diff goes, the paper's largest (section 3.3)


def defaults_of(defaults: Mapping[str, Any], inverting: bool = True) -> dict[str, dict[str, Any]]:
    """The options of each operation, with the values used when none are given. Inversion goes without
    guidance, with which DDIM does not find back; new noise does with it (`variations`). inverting: variations
    start from the picture's own noise.
    """
    back = {"steps": STEPS, "guidance": 1.0}
    drawing = {name: defaults[name] for name in ("steps", "shift", "guidance", "sampler")}
    priors = {name: defaults[name] for name in ("prior", "prior_weight", "prior_steps", "prior_guidance")}
    return {
        "variations": {**back, "guidance": VARIED, "eta": ETA} if inverting else drawing,
        "interpolate": back,
        "text_diff": {**back, "strength": STRENGTH},
        "inpaint": {**drawing, **priors},
        "outpaint": {**drawing, **priors},
        "probe": {name: defaults[name] for name in ("steps", "shift", "guidance")},
    }


def variations(
    pipeline: Dalle2, image: Image.Image, seeds: Sequence[int], size: str, settings: Mapping[str, Any]
) -> Iterator[Preview]:
    """The picture's latent decoded again with noise between the steps, one picture a seed (section 3.1).
    eta 0 gives the picture itself, without guidance; at 1 there is all of it. Without an eta its embedding is
    drawn from new noise, as Karlo does.
    """
    if "eta" not in settings:
        z = picture_emb(pipeline, image).expand(len(seeds), -1)
        yield from pipeline.paint(None, z, seeds, size, settings)
        return
    pixels, z = picture_pixels(pipeline, image), picture_emb(pipeline, image)
    eta, guidance = settings["eta"], settings["guidance"]
    yield from _found(
        pipeline,
        [(pixels, z)],
        {**settings, "guidance": 1.0},
        lambda noise: (z.expand(len(seeds), -1), noise[0].expand(len(seeds), -1, -1, -1)),
        seeds,
        size,
        eta,
        1 + eta * (guidance - 1),
    )


def interpolate(
    pipeline: Dalle2,
    a: Image.Image,
    b: Image.Image,
    frames: Sequence[int],
    count: int,
    seed: int,
    size: str,
    settings: Mapping[str, Any],
) -> Iterator[Preview]:
    """Frames number `frames` of `count` on the way from a (frame 0) to b: both parts of the latent move on
    great circles (section 3.2). seed: of the noise that the upsamplers start from, as in `text_diff`.
    """
    pair = [picture_pixels(pipeline, image) for image in (a, b)]
    z = [picture_emb(pipeline, image) for image in (a, b)]
    share = torch.tensor([frame / (count - 1) for frame in frames], device=pipeline.device)

    def latents(noise: list[Tensor]) -> tuple[Tensor, Tensor]:
        return slerp(z[0], z[1], share), slerp(noise[0], noise[1], share)

    seeds = [seed] * len(frames)
    yield from _found(pipeline, list(zip(pair, z, strict=True)), settings, latents, seeds, size)


def text_diff(
    pipeline: Dalle2,
    image: Image.Image,
    source: str,
    target: str,
    frames: Sequence[int],
    count: int,
    seed: int,
    size: str,
    settings: Mapping[str, Any],
) -> Iterator[Preview]:
    """Frames number `frames` of `count`, from the picture itself (frame 0) to `strength` of the way on the
    great circle towards norm(z_target - z_source), the noise held (section 3.3).
    """
    difference = pipeline.embedder.text_emb(target) - pipeline.embedder.text_emb(source)
    if difference.norm() < 1e-4:
        raise BadInput(f"source {source!r} and target {target!r} say the same; there is no way to go")
    pixels, z = picture_pixels(pipeline, image), picture_emb(pipeline, image)
    length = float(z.norm()) if pipeline.through_clip else 1.0
    shares = [settings["strength"] * frame / (count - 1) for frame in frames]
    share = torch.tensor(shares, device=pipeline.device)

    def latents(noise: list[Tensor]) -> tuple[Tensor, Tensor]:
        moved = slerp(z, F.normalize(difference, dim=-1) * length, share)
        return moved, noise[0].expand(len(frames), -1, -1, -1)

    yield from _found(pipeline, [(pixels, z)], settings, latents, [seed] * len(frames), size)


def inpaint(
    pipeline: Dalle2,
    image: Image.Image,
    keep: Tensor,
    prompt: str,
    seeds: Sequence[int],
    size: str,
    settings: Mapping[str, Any],
) -> Iterator[Preview]:
    """Draw what is not kept. image: a square of any size; keep: (H, W) bool of that size, True = kept. Kept
    pixels are, at the size that is drawn, those of the picture.
    """
    side, (out, _) = pipeline.side, parse_size(size)
    small, small_keep = resized(image, keep, (side, side))
    large, large_keep = resized(image, keep, (out, out))
    x0 = from_pixels(small.to(pipeline.device))  # (1, 3, S, S)
    stays = small_keep.to(pipeline.device)  # (1, 1, S, S)
    z = pipeline.image_emb(prompt, seeds, settings)

    def drawn() -> Iterator[Preview]:
        known, shown = known_part(x0, stays), settings["prior_weight"]
        denoise, schedule = pipeline.denoiser(prompt, z, settings, known, shown=shown)
        rng = SeedBatch(seeds, pipeline.device)
        x = rng.normal(3, side, side)
        for step in sample(denoise, x, schedule, rng, settings["sampler"], kept=(x0, stays)):
            yield Preview(step.index, step.total, to_pixels(step.x0))

    previews = pipeline.enlarged(drawn(), seeds, size, len(pipeline.schedule(settings)))
    yield from restored(previews, large, large_keep)


def probe(
    pipeline: Dalle2,
    image: Image.Image,
    components: Sequence[int],
    seed: int,
    size: str,
    settings: Mapping[str, Any],
) -> Iterator[Preview]:
    """What the first principal components of the embedding hold: decoded with the same noise, one picture a
    count of components (section 4, figure 7). Raises Unsupported where the bundle has no components.
    """
    if "ar_prior" not in pipeline.parts:
        raise Unsupported(
            "probe needs the principal components of an autoregressive prior, and this bundle has none: "
            "train one with dalle2_ar_prior_emoji, or take a bundle that has it"
        )
    codes = pipeline.parts["ar_prior"].codes
    most = len(codes.mean)
    for count in components:
        if not 1 <= count <= most:
            raise BadInput(f"components {count}: the embedding has {most}, so 1 to {most} can be kept")
    z = picture_emb(pipeline, image)
    kept = torch.cat([codes.restore(codes.project(z, count)) for count in components])
    settings = {**settings, "sampler": "ddim"}
    yield from pipeline.paint(None, F.normalize(kept, dim=-1), [seed] * len(components), size, settings)


def _found(
    pipeline: Dalle2,
    pictures: Sequence[tuple[Tensor, Tensor]],
    settings: Mapping[str, Any],
    latents: Callable[[list[Tensor]], tuple[Tensor, Tensor]],
    seeds: Sequence[int],
    size: str,
    eta: float = 0.0,
    guidance: float | None = None,
) -> Iterator[Preview]:
    """Invert pictures, each ((1, 3, S, S) in 0..1, its z), and decode what `latents` makes of their noise:
    z (B, Z) and x_T (B, 3, S, S), one a seed. guidance: of decoding, where it is another than inversion's.
    """
    rng = SeedBatch(seeds, pipeline.device)
    settings = {**settings, "shift": 1.0}  # evenly there and evenly back
    steps = int(settings["steps"])
    total = steps * (len(pictures) + 1)

    def drawn() -> Iterator[Preview]:
        noise: list[Tensor] = []
        for number, (pixels, z) in enumerate(pictures):
            denoise, schedule = pipeline.denoiser(None, z, settings, clip=False)
            x = pixels
            for step in ddim_invert(denoise, from_pixels(pixels), schedule, CORRECTIONS):
                x = step.x
                shown = to_pixels(step.x0).expand(len(seeds), -1, -1, -1)
                yield Preview(number * steps + step.index, total, shown)
            noise.append(x)
        z, x = latents(noise)
        forth = settings if guidance is None else {**settings, "guidance": guidance}
        denoise, schedule = pipeline.denoiser(None, z, forth, clip=False)
        for step in sample(denoise, x, schedule, rng, "ddim", eta):
            yield Preview(len(pictures) * steps + step.index, total, to_pixels(step.x0))

    yield from pipeline.enlarged(drawn(), seeds, size, total)


def picture_pixels(pipeline: Dalle2, image: Image.Image) -> Tensor:
    """The middle square of a picture, (1, 3, S, S) in 0..1"""
    return to_tensor(square(image, pipeline.side))[None].to(pipeline.device)


def picture_emb(pipeline: Dalle2, image: Image.Image) -> Tensor:
    """(1, Z): the middle square of a picture as CLIP sees it, at CLIP's own size"""
    side = pipeline.embedder.image_size
    if side == pipeline.side:
        return pipeline.embedder.image_emb(picture_pixels(pipeline, image))
    return pipeline.embedder.image_emb(to_batch([fit_picture(image, side)]).to(pipeline.device))


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """a, b (1, ...), share (F,) -> (F, ...) on the great circle from a to b, by the angle between the two as
    whole vectors; on the straight line where they nearly agree or nearly oppose each other
    """
    flat_a, flat_b = a.flatten(1).double(), b.flatten(1).double()  # (1, N)
    cosine = (F.normalize(flat_a, dim=1) * F.normalize(flat_b, dim=1)).sum().clamp(-1, 1)
    angle, t = cosine.arccos(), share.double()[:, None]
    if angle.sin() < 1e-4:
        mixed = (1 - t) * flat_a + t * flat_b
    else:
        mixed = (((1 - t) * angle).sin() * flat_a + (t * angle).sin() * flat_b) / angle.sin()
    return mixed.to(a.dtype).view(-1, *a.shape[1:])
