"""What DALL·E 2 does with a picture, through the artist, as a person does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import armchair
from armchair.artist.edits import masked, surrounded
from armchair.artist.redo import psnr, redo, same_pixels
from armchair.core.errors import BadInput, Unsupported
from armchair.core.images import resized
from armchair.core.picture import read_recipe
from armchair.dalle2.edits import slerp
from tests.dalle2.tiny import decoder_task, picture, saved, whole_bundle


@pytest.fixture(scope="module")
def artist(tmp_path_factory: pytest.TempPathFactory) -> armchair.Artist:
    return armchair.load(whole_bundle(tmp_path_factory.getbasetemp() / "dalle2").folder)


def pixels(image: Image.Image) -> np.ndarray:
    return np.array(image.convert("RGB"))


def hole(size: int = 16, box: tuple[int, int, int, int] = (4, 4, 9, 11)) -> Image.Image:
    """A black mask with a white rectangle."""
    mask = Image.new("L", (size, size), 0)
    ImageDraw.Draw(mask).rectangle(box, fill=255)
    return mask


def test_inversion_gives_the_picture_back(artist: armchair.Artist):
    """Section 3: eta 0 reconstructs, more eta varies more, and every seed differs."""
    source = picture(3)
    (same,) = artist.variations(source, eta=0, seed=1, steps=20)
    assert psnr(same.image, source) > 25
    near = artist.variations(source, eta=0.3, n=2, seed=1, steps=20)
    far = artist.variations(source, eta=1, n=2, seed=1, steps=20)
    assert near[0].image.tobytes() != near[1].image.tobytes()
    away = [np.mean([psnr(p.image, source) for p in some]) for some in (near, far)]
    assert psnr(same.image, source) > away[0] > away[1]
    assert same.recipe["options"]["guidance"] == 2.0
    (plain,) = artist.variations(source, eta=0, seed=1, steps=20, guidance=1)
    assert plain.image.tobytes() == same.image.tobytes(), "inversion goes without guidance"
    (free,) = artist.variations(source, eta=1, seed=1, steps=20, guidance=1)
    assert free.image.tobytes() != far[0].image.tobytes(), "new noise goes with it"


def test_blend_reproduces_its_ends(artist: armchair.Artist):
    """Section 3.2: with both parts of the latent interpolated the ends are the inputs, and no two frames are
    further apart than twice the mean.
    """
    a, b = picture(1), picture(2)
    frames = artist.interpolate(a, b, frames=5, steps=20)
    assert len(frames) == 5
    assert psnr(frames[0].image, a) > 25 and psnr(frames[4].image, b) > 25
    steps = [
        np.abs(pixels(x.image).astype(float) - pixels(y.image)).mean()
        for x, y in zip(frames, frames[1:], strict=False)
    ]
    assert max(steps) < 2 * np.mean(steps)
    assert [frame.recipe["frame"] for frame in frames] == [0, 1, 2, 3, 4]


def test_text_diff_starts_at_the_picture(artist: armchair.Artist):
    """Section 3.3: theta 0 is the picture itself; the last frame is as far as `strength` says."""
    source = picture(5)
    frames = artist.text_diff(source, source="red dog", target="green house", frames=3, steps=12)
    assert psnr(frames[0].image, source) > 20
    assert frames[2].image.tobytes() != frames[1].image.tobytes() != frames[0].image.tobytes()
    (_, weak) = artist.text_diff(
        source, source="red dog", target="green house", frames=2, strength=0.25, steps=12
    )
    assert same_pixels(weak.image, frames[1].image), "half of strength 0.5"


def test_probe(artist: armchair.Artist):
    """Section 4: one picture a count, from one noise; all components are the whole embedding."""
    found = artist.probe(picture(4), components=[1, 6, 12], seed=3)
    assert [p.recipe["frame"] for p in found] == [1, 6, 12] and {p.seed for p in found} == {3}
    assert len({p.image.tobytes() for p in found}) == 3
    with pytest.raises(BadInput, match="components 13: the embedding has 12"):
        artist.probe(picture(4), components=[13], seed=3)


def test_inpaint_keeps_what_is_kept(artist: armchair.Artist):
    """Exactly, at 8 bits; the rest is drawn and differs from seed to seed."""
    source, mask = picture(7), hole()
    drawn = artist.inpaint(source, mask, "a red dog", n=2, seed=1)
    keep = pixels(mask)[:, :, 0] == 0
    for one in drawn:
        assert (pixels(one.image)[keep] == pixels(source)[keep]).all()
    assert (pixels(drawn[0].image)[~keep] != pixels(drawn[1].image)[~keep]).any()
    assert (pixels(drawn[0].image)[~keep] != pixels(source)[~keep]).any()


def test_transparency_is_the_mask(artist: armchair.Artist):
    """Without a mask alpha 0 is drawn; a mask and transparency together are both drawn; a mask may itself be
    transparent where it paints.
    """
    source, mask = picture(7), hole()
    clear = source.copy()
    clear.putalpha(mask.point(lambda value: 255 - value))
    wanted = artist.inpaint(source, mask, "a red dog", seed=1)[0]
    keep = pixels(mask)[:, :, 0] == 0
    found = artist.inpaint(clear, None, "a red dog", seed=1)[0]
    assert (pixels(found.image)[keep] == pixels(source)[keep]).all()
    alpha = Image.new("RGBA", (16, 16), "black")
    alpha.putalpha(mask.point(lambda value: 255 - value))
    assert same_pixels(artist.inpaint(source, alpha, "a red dog", seed=1)[0].image, wanted.image)
    both = artist.inpaint(clear, hole(box=(0, 0, 2, 2)), "a red dog", seed=1)[0]
    keep[:3, :3] = False
    assert (pixels(both.image)[keep] == pixels(source)[keep]).all()
    assert (pixels(both.image)[:3, :3] != pixels(source)[:3, :3]).any()


def test_a_picture_that_is_not_square_gets_bars():
    """Issue 4: centred on a transparent square, not cropped, and what is transparent is drawn."""
    wide = picture(1).resize((16, 8))
    canvas = masked(wide, None)
    assert canvas.size == (16, 16) and canvas.mode == "RGBA"
    alpha = np.array(canvas.getchannel("A"))
    assert (alpha[:4] == 0).all() and (alpha[4:12] == 255).all() and (alpha[12:] == 0).all()
    assert (pixels(canvas)[4:12] == pixels(wide)).all()
    alpha = np.array(masked(wide, hole(box=(0, 0, 3, 3)).crop((0, 0, 16, 8))).getchannel("A"))
    assert (alpha[4:8, :4] == 0).all() and (alpha[8:12] == 255).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16", "1", "LA"])
def test_pictures_of_any_mode(artist: armchair.Artist, tmp_path: Path, mode: str):
    """Read once, in core; no operation of ours sees anything but RGB."""
    source = picture(2)
    if mode == "I;16":
        image = Image.fromarray(np.array(source.convert("L"), np.uint16) * 257)
    else:
        image = source.convert(mode)
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    image.save(path)
    assert artist.inpaint(path, hole(), "dog", seed=1, steps=1)[0].image.size == (16, 16)
    assert artist.variations(path, seed=1, steps=1)[0].image.mode == "RGB"


def test_exif_orientation_turns_picture_and_mask(artist: armchair.Artist, tmp_path: Path):
    """A picture on its side is turned upright, and the mask is that of what a person sees."""
    source = picture(7)
    exif = Image.Exif()
    exif[0x0112] = 6
    source.rotate(90).save(tmp_path / "a.png", exif=exif)
    found = artist.inpaint(tmp_path / "a.png", hole(), "a red dog", seed=1)[0]
    assert same_pixels(found.image, artist.inpaint(source, hole(), "a red dog", seed=1)[0].image)


@pytest.mark.parametrize(
    ("anchor", "box"),
    [("center", (3, 4)), ("left", (0, 4)), ("bottom-right", (6, 8)), ("top", (3, 0))],
)
def test_outpaint(artist: armchair.Artist, anchor: str, box: tuple[int, int]):
    """The picture lies where the anchor says, unchanged; all around it is drawn."""
    small = picture(9).resize((10, 8))
    found = artist.outpaint(small, "a red dog", size="16x16", anchor=anchor, seed=1)[0]
    left, top = box
    assert (pixels(found.image)[top : top + 8, left : left + 10] == pixels(small)).all()
    alpha = np.array(surrounded(small, (16, 16), (0.5, 0.5)).getchannel("A"))
    assert (alpha == 255).sum() == 80


CALLS: dict[str, Callable[[armchair.Artist], Any]] = {
    "mask is 8x8 and the picture 16x16": lambda a: a.inpaint(picture(), hole(8), "x"),
    "the mask paints nothing": lambda a: a.inpaint(picture(), Image.new("L", (16, 16)), "x"),
    "no mask given and the picture has no fully transparent": lambda a: a.inpaint(picture(), None, "x"),
    "prompt is empty": lambda a: a.inpaint(picture(), hole(), " "),
    "eta is 1.5": lambda a: a.variations(picture(), eta=1.5),
    "eta is nan": lambda a: a.variations(picture(), eta=float("nan")),
    "strength is 0": lambda a: a.text_diff(picture(), source="a", target="b", strength=0),
    "say the same": lambda a: a.text_diff(picture(), source="red", target="red"),
    "frames is 1;": lambda a: a.interpolate(picture(), picture(), frames=1),
    "frames is 65;": lambda a: a.interpolate(picture(), picture(), frames=65),
    "steps is 0": lambda a: a.variations(picture(), steps=0),
    "n is 0": lambda a: a.variations(picture(), n=0),
    "variations has no option 'prior'": lambda a: a.variations(picture(), prior="ar"),
    "components is empty": lambda a: a.probe(picture(), components=[]),
    "components 0": lambda a: a.probe(picture(), components=[0]),
    "larger than 16x16": lambda a: a.outpaint(picture(size=20), "x", size="16x16"),
    "fills 16x16 already": lambda a: a.outpaint(picture(), "x", size="16x16"),
    "does not draw 32x32": lambda a: a.outpaint(picture(), "x", size="32x32"),
    "anchor 'middle'": lambda a: a.outpaint(picture(), "x", size="16x16", anchor="middle"),
    "nothing.png: no such file": lambda a: a.variations("nothing.png"),
}


@pytest.mark.parametrize("words", CALLS)
def test_bad_input_is_one_clear_line(artist: armchair.Artist, words: str):
    """Issue 4: masks, strengths, steps and pictures that will not do."""
    with pytest.raises(BadInput) as caught:
        CALLS[words](artist)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_what_another_system_owns(artist: armchair.Artist, tmp_path: Path):
    """`complete` is DALL·E 1's; probe needs the components that the autoregressive prior brings."""
    with pytest.raises(Unsupported, match="cannot do complete: dalle1 can"):
        artist.complete(picture(), "x")
    saved(tmp_path / "plain", decoder_task(tmp_path))
    with pytest.raises(Unsupported, match="probe needs the principal components"):
        armchair.load(tmp_path / "plain").probe(picture(), components=[2], seed=1)


OPERATIONS: dict[str, Callable[[armchair.Artist], list[armchair.Picture]]] = {
    "variations": lambda a: a.variations(picture(1), n=2, seed=5, steps=3),
    "interpolate": lambda a: a.interpolate(picture(1), picture(2), frames=3, steps=3),
    "text_diff": lambda a: a.text_diff(picture(1), source="red", target="green dog", frames=3, steps=3),
    "probe": lambda a: a.probe(picture(1), components=[2, 5], seed=4),
    "inpaint": lambda a: a.inpaint(picture(1), hole(), "red dog", n=2, seed=4),
    "outpaint": lambda a: a.outpaint(picture(1, 12), "red dog", size="16x16", anchor="left", n=2, seed=4),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_redo_gives_the_same_pixels(artist: armchair.Artist, tmp_path: Path, operation: str):
    """From the PNG alone, each picture and each frame by itself: what it started from travels in its recipe,
    and no picture depends on those beside it.
    """
    many = OPERATIONS[operation](artist)
    one = many[-1]
    recipe = read_recipe(one.save(tmp_path / "a.png"))
    assert recipe["operation"] == operation
    again = redo(recipe)
    assert same_pixels(again.image, one.image)
    assert again.recipe == one.recipe
    if "frame" in recipe:
        with pytest.raises(BadInput, match="the recipe has no frame; it was made by another program"):
            redo({key: value for key, value in recipe.items() if key != "frame"})


def test_slerp_by_hand():
    """One angle for the whole vector, not one an element (SPEC 6.11's trap); ends exactly, unit length kept;
    a straight line where there is no angle.
    """
    a, b = torch.tensor([[1.0, 0, 0]]), torch.tensor([[0.0, 1, 0]])
    found = slerp(a, b, torch.tensor([0.0, 1 / 3, 1.0]))
    wanted = torch.tensor([[1, 0, 0], [3**0.5 / 2, 0.5, 0], [0, 1, 0]])
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(slerp(a, 2 * a, torch.tensor([0.5])), 1.5 * a)
    big = torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4)
    assert slerp(*big, torch.tensor([0.5, 0.7])).shape == (2, 3, 4, 4)


def test_masks_shrink_towards_painting():
    """A cell of the decoder that is partly to be painted is painted, or a seam would stay."""
    keep = torch.ones(4, 4, dtype=torch.bool)
    keep[0, 0] = False
    small, stays = resized(Image.new("RGB", (4, 4), "red"), keep, (2, 2))
    assert small.shape == (1, 3, 2, 2)
    assert stays[0, 0].tolist() == [[False, True], [True, True]]
    _, stays = resized(Image.new("RGB", (4, 4), "red"), keep, (8, 8))
    assert (~stays).sum() == 4
