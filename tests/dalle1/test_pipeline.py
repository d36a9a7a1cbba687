"""DALL·E 1 as it is loaded: a bundle draws what it drew when it was made, and completes pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import armchair
from armchair.core.bundle import Bundle
from armchair.core.errors import BadInput, BundleError, Unsupported
from armchair.core.images import to_tensor
from armchair.dalle1.pipeline import Dalle1
from armchair.dalle1.task import SamplingConfig
from tests.dalle1.tiny import NET_TINY, Pictures, saved, transformer_task

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a tiny untrained network whose pictures differ from seed to seed."""
    place = tmp_path_factory.mktemp("bundles")
    saved(place / "tiny", transformer_task(place))
    return place / "tiny"


@pytest.fixture
def pipeline(folder: Path) -> Dalle1:
    return Dalle1.from_bundle(Bundle.open(folder), CPU, torch.float32)


@pytest.fixture
def decoded(pipeline: Dalle1, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Every grid of codes that the pipeline decodes."""
    seen: list[Tensor] = []
    decode = pipeline.dvae.decode

    def watched(codes: Tensor) -> Tensor:
        seen.append(codes.clone())
        return decode(codes)

    monkeypatch.setattr(pipeline.dvae, "decode", watched)
    return seen


def last(previews) -> Tensor:
    *_, preview = previews
    return preview.images


@pytest.mark.parametrize("storage", ["float16", "int8"])
@pytest.mark.parametrize("layout", ["start_of_image", "bos"])
def test_golden_picture(tmp_path: Path, storage: str, layout: str):
    """What the task drew with the weights as they are stored, a stranger's `armchair.load` draws again, to
    the pixel: rounding, packing and defaults all take part.
    """
    task = transformer_task(
        tmp_path,
        net=replace(NET_TINY, layout=layout),
        storage=storage,
        sampling=SamplingConfig(guidance=2.0, top_k=12),
    )
    with torch.no_grad():
        task.net.image_head.weight[:, 0] = 50  # beside it int8 keeps little of the rest
    bundle = saved(tmp_path / "made", task)
    golden = bundle.golden()
    assert golden is not None and len(golden.getcolors()) > 10
    (picture,) = armchair.load(tmp_path / "made").generate("a red dog", seed=1)
    assert picture.image.tobytes() == golden.tobytes()
    assert picture.recipe["options"]["guidance"] == 2.0
    (other,) = armchair.load(tmp_path / "made").generate("a red dog", seed=2)
    assert other.image.tobytes() != golden.tobytes()


def test_loading_leaves_the_global_generator(folder: Path):
    """Networks are made without random weights; whoever seeded torch finds it as it was."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    armchair.load(folder).generate("a dog", seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_same_picture_alone_or_in_a_batch(folder: Path):
    """DESIGN section 4: prompt, seed and options make the picture, not its neighbours; any order, any n."""
    artist = armchair.load(folder)
    many = artist.generate("green house", n=5, seed=10)
    alone = artist.generate("green house", seed=13)[0]
    assert alone.image.tobytes() == many[3].image.tobytes()
    assert len({picture.image.tobytes() for picture in many}) == 5


def test_previews_fill_from_the_top(pipeline: Dalle1):
    """One a row of codes; what is not drawn yet is grey, the last is whole."""
    previews = list(pipeline.stream("a dog", [1, 2], "16x16"))
    assert [p.index for p in previews] == [0, 1, 2, 3] and {p.total for p in previews} == {4}
    for rows, preview in enumerate(previews, start=1):
        assert preview.images.shape == (2, 3, 16, 16)
        assert (preview.images[:, :, 4 * rows :] == 0.5).all()
        assert (preview.images[:, :, : 4 * rows] != 0.5).any()
    assert 0 <= previews[-1].images.min() and previews[-1].images.max() <= 1


def test_complete_keeps_the_rows(pipeline: Dalle1, decoded: list[Tensor]):
    """The codes of the kept rows are the picture's in every preview and for every seed; the rest is drawn."""
    image = Image.fromarray(Pictures(size=24)[5].image)
    side = image.resize((16, 16), Image.Resampling.LANCZOS)
    codes = pipeline.dvae.encode(to_tensor(side).unsqueeze(0))[0]
    previews = list(pipeline.complete(image, "a dog", [1, 2, 3], keep_rows=3))
    assert len(previews) == 1 and decoded == [], "codes are decoded when somebody looks"
    assert len(previews[0].images) == previews[0].count == 3 and len(decoded) == 1
    assert previews[0].total == 1, "one row was left to draw"
    for row in decoded[-1]:
        assert torch.equal(row[:3], codes[:3])
    assert len({tuple(row[3].tolist()) for row in decoded[-1]}) > 1


def test_reconstruct(pipeline: Dalle1, decoded: list[Tensor]):
    """What the codes keep: the likeliest ones, decoded."""
    x = torch.rand(2, 3, pipeline.side, pipeline.side, generator=torch.Generator().manual_seed(0))
    assert pipeline.reconstruct(x).shape == x.shape
    torch.testing.assert_close(decoded[0], pipeline.dvae.encode(x))


def test_half_is_kept_by_default(pipeline: Dalle1, decoded: list[Tensor]):
    """keep_rows=None."""
    image = Image.fromarray(Pictures(size=16)[5].image)
    codes = pipeline.dvae.encode(to_tensor(image).unsqueeze(0))[0]
    previews = list(pipeline.complete(image, "a dog", [1]))
    assert len(previews) == 2
    assert (previews[0].images[:, :, 12:] == 0.5).all()
    assert torch.equal(decoded[-1][0, :2], codes[:2])


def test_completing_a_picture_of_its_own_draws_it_again(pipeline: Dalle1, decoded: list[Tensor]):
    """A cell's random number does not depend on how many rows were kept: the same seed goes on to the same
    picture from its own codes.
    """
    drawn = last(pipeline.stream("a dog", [7], "16x16"))
    codes = decoded[-1][0]
    pipeline.dvae.encode = lambda _image: codes.unsqueeze(0)
    image = Image.fromarray(np.zeros((16, 16, 3), np.uint8))
    torch.testing.assert_close(last(pipeline.complete(image, "a dog", [7], keep_rows=1)), drawn)


@pytest.mark.parametrize("rows", [0, 4, 5, -1])
def test_rows_that_cannot_be_kept(pipeline: Dalle1, folder: Path, rows: int):
    """None kept is `generate`, all kept leaves nothing to draw: said with the numbers that would do."""
    image = Image.fromarray(Pictures(size=16)[5].image)
    with pytest.raises(BadInput, match=f"keep_rows {rows}: .* 4 rows of codes, so 1 to 3"):
        list(pipeline.complete(image, "a dog", [1], keep_rows=rows))
    with pytest.raises(BadInput, match="keep_rows"):
        armchair.load(folder).complete(image, "a dog", keep_rows=rows, seed=1)


def test_through_the_artist(folder: Path):
    """`complete` with a file, and what DALL·E 1 cannot do."""
    artist = armchair.load(folder)
    assert artist.sizes == ["16x16"] and artist.operations == {"generate", "complete"}
    image = Image.fromarray(Pictures(size=30)[2].image)
    one, two = artist.complete(image, "a dog", n=2, seed=3, keep_rows=2)
    assert one.image.size == (16, 16) and one.image.tobytes() != two.image.tobytes()
    with pytest.raises(BadInput, match="does not draw 32x32; it draws 16x16"):
        artist.generate("a dog", size="32x32")
    with pytest.raises(Unsupported, match="cannot do variations"):
        artist.variations(image)


def test_a_bundle_of_another_shape_is_refused(tmp_path: Path):
    """A config that does not fit its tensors is damage, named by component and tensor."""
    task = transformer_task(tmp_path)
    task.net.config = replace(task.net.config, depth=2)
    components = task.components()
    task.components = lambda: components
    task.golden = lambda: None
    saved(tmp_path / "bad", task)
    with pytest.raises(BundleError, match="bad/transformer: tensor blocks.2"):
        armchair.load(tmp_path / "bad")
