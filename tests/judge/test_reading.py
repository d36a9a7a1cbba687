"""From maps to readings: the right thing at the right place, each once, and GenEval's rule for sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from armchair.core.bundle import save_bundle
from armchair.core.errors import BadInput, BundleError
from armchair.data.world.layout import Box
from armchair.data.world.scene import BACKGROUNDS, COLOURS, SIGN_WORDS, STYLES, TINTS, Scene, Thing
from armchair.judge.network import Judge, Maps
from armchair.judge.reading import Found, Reader, Reading, has_colour, overlap, readings_of, relations
from armchair.judge.scoring import Tally
from armchair.judge.soften import SHARP, frame
from armchair.judge.targets import targets
from tests.judge.drawn import NAMES, NET

LABELS = {name: i for i, name in enumerate(NAMES[:4])}
WHOLE = Box(0.5, 0.5, 1.0, 1.0)


def sure_maps(scenes: list[Scene], chosen: Box = WHOLE) -> Maps:
    """The maps of a network that answers exactly what it should, and is sure of it."""
    wanted = [targets(scene, LABELS, chosen, NET) for scene in scenes]
    t = {name: torch.stack([w[name] for w in wanted]) for name in wanted[0]}

    def hot(labels: torch.Tensor, classes: int) -> torch.Tensor:
        return 20 * torch.nn.functional.one_hot(labels.clamp_min(0), classes).float()

    return Maps(
        middle=torch.logit(t["middle"].clamp(1e-4, 1 - 1e-4)),
        concept=hot(t["concept"], NET.concepts).movedim(3, 1),
        box=t["box"],
        colour=hot(t["colour"], len(TINTS)).movedim(3, 1),
        style=hot(t["style"], len(STYLES)),
        background=hot(t["background"], len(BACKGROUNDS)),
        sign=hot(t["sign"], 1 + len(SIGN_WORDS)),
    )


def thing(name: int, tint: str, *boxes: Box) -> Thing:
    return Thing(NAMES[name], "soft", tint, boxes)


SCENES = [
    Scene(1, (thing(0, "red", Box(0.45, 0.55, 0.8, 0.7)),), (), "sea", None),
    Scene(2, (thing(1, "natural", Box(0.25, 0.3, 0.4, 0.3)), thing(2, "blue", Box(0.75, 0.3, 0.3, 0.4))), (),
          "white", "zoo"),
    Scene(3, (thing(3, "pink", *(Box(x, y, 0.38, 0.38) for y in (0.25, 0.75) for x in (0.25, 0.75))),), (),
          "grey", "open"),
]  # fmt: skip


def test_what_is_asked_for_is_what_is_read():
    """The targets of three scenes, read back: every concept, count, box, colour, style, background and sign.
    A board at the upper edge (odd index) and one at the lower are both read.
    """
    readings = readings_of(sure_maps(SCENES), NET, tuple(LABELS))
    tally = Tally()
    for scene, reading in zip(SCENES, readings, strict=True):
        tally.add(scene, reading)
        assert (reading.style, reading.background, reading.sign) == ("soft", scene.background, scene.sign)
        for there in scene.things:
            found = reading.of(there.concept)
            assert len(found) == there.count
            assert {f.colour for f in found} == {there.tint}
            for box in there.boxes:
                assert sum(overlap(f.box, box) > 0.99 for f in found) == 1
    shares = tally.shares()
    assert shares.pop("false_find") == 0
    assert set(shares.values()) == {1.0}, shares


def test_a_crop_moves_the_boxes():
    """The right half of a frame shows the thing there, twice as wide; the other has left it."""
    scene = Scene(2, SCENES[1].things[1:], (), "white", None)
    reading = readings_of(sure_maps([scene], Box(0.75, 0.5, 0.5, 1.0)), NET, tuple(LABELS))[0]
    assert [f.concept for f in reading.found] == [NAMES[2]]
    assert reading.found[0].box == pytest.approx((0.5, 0.3, 0.6, 0.4), abs=1e-3)


def test_one_thing_is_found_once():
    """Was twice, when two cells side by side both claimed it, or two names: the surer one stays, and two
    real neighbours of one concept stay two.
    """
    maps = sure_maps(SCENES[:1])
    row, column = divmod(int(maps.middle[0].argmax()), NET.grid)
    middle = maps.middle.clone()
    middle[0, row, column - 2] = 1.0  # beyond the neighbours that a peak silences
    box = maps.box.clone()
    box[0, :, row, column - 2] = box[0, :, row, column] + torch.tensor([2.0, 0, 0, 0])
    concept = maps.concept.clone()
    twice = maps._replace(middle=middle, box=box)
    assert len(readings_of(twice, NET, tuple(LABELS))[0].found) == 1
    concept[0, :, row, column - 2] = torch.tensor([0.0, 0, 20, 0])
    twin = readings_of(twice._replace(concept=concept), NET, tuple(LABELS))[0]
    assert [f.concept for f in twin.found] == [NAMES[0]]
    box[0, 2, row, column - 2] -= 1.5  # another thing after all: a far narrower one
    other = readings_of(twice._replace(concept=concept, box=box), NET, tuple(LABELS))[0]
    assert [f.concept for f in other.found] == [NAMES[0], NAMES[2]]
    assert other.found[0].score > other.found[1].score


def test_thresholds():
    """Below `found` nothing is there; a board whose word is unclear is "", not the likeliest word."""
    maps = sure_maps(SCENES[2:])
    faint = maps._replace(middle=maps.middle.clamp(max=-2.0), sign=maps.sign.clamp(max=0.5))
    reading = readings_of(faint, NET, tuple(LABELS))[0]
    assert reading.found == () and reading.sign == ""
    low = readings_of(faint, replace(NET, found=0.1, legible=0.01), tuple(LABELS))[0]
    assert len(low.of(NAMES[3])) == 4 and low.sign == "open"


def test_sides():
    """GenEval's rule: beyond a tenth of both sizes, and mostly in that direction; its opposite from the other
    end.
    """
    a = Box(0.2, 0.5, 0.3, 0.3)
    assert relations(a, Box(0.8, 0.5, 0.3, 0.3)) == {"left of"}
    assert relations(Box(0.8, 0.5, 0.3, 0.3), a) == {"right of"}
    assert relations(a, Box(0.2, 0.9, 0.3, 0.3)) == {"above"}
    assert relations(Box(0.2, 0.9, 0.3, 0.3), a) == {"below"}
    assert relations(a, Box(0.7, 1.0, 0.1, 0.1)) == {"left of", "above"}
    assert relations(a, Box(0.25, 0.5, 0.3, 0.3)) == frozenset(), "0.05 apart, 0.06 are needed"
    assert relations(a, a) == frozenset()
    assert relations(a, Box(0.8, 0.7, 0.3, 0.3)) == {"left of"}, "a third down is not below"


def test_overlap():
    """Intersection over union of boxes that share a quarter of each, nothing, everything."""
    box = Box(0.4, 0.4, 0.4, 0.4)
    assert overlap(box, Box(0.6, 0.6, 0.4, 0.4)) == pytest.approx(1 / 7)
    assert overlap(box, Box(0.9, 0.4, 0.4, 0.4)) == 0
    assert overlap(box, box) == pytest.approx(1)


def test_own_colours_count():
    """A strawberry in its own colours is red, as one that was painted red is: nobody can tell them apart. An
    elephant's grey is none of the colours, and a blue strawberry is not red.
    """
    berry = Found("strawberry", 0.9, WHOLE, "natural")
    assert has_colour(berry, "glossy", "red") and has_colour(
        replace(berry, colour="red"), "glossy", "natural"
    )
    assert has_colour(berry, "glossy", "natural") and not has_colour(berry, "glossy", "green")
    assert not has_colour(replace(berry, colour="blue"), "glossy", "red")
    elephant = replace(berry, concept="elephant")
    assert not any(has_colour(elephant, "glossy", colour) for colour in COLOURS)


def test_tasks_can_be_failed():
    """A wrong name, colour, number, side or a thing too many fails its own task and no other."""
    scene = SCENES[0]
    right = Found(NAMES[0], 0.9, Box(0.45, 0.55, 0.8, 0.7), "red")
    good = Reading((right,), "soft", "sea", None)

    def shares(reading: Reading, of: Scene = scene) -> dict[str, float]:
        tally = Tally()
        tally.add(of, reading)
        return tally.shares()

    names = ("single_object", "colour", "place", "style", "background", "sign_seen", "false_find")
    best: dict[str, float] = dict.fromkeys(names, 1.0) | {"false_find": 0.0}
    assert shares(good) == best
    assert shares(replace(good, found=(replace(right, colour="blue"),))) == best | {"colour": 0}
    elsewhere = replace(right, box=Box(0.1, 0.1, 0.1, 0.1))
    assert shares(replace(good, found=(elsewhere,))) == best | {"place": 0, "false_find": 1}
    more = replace(right, concept=NAMES[1], score=0.5)
    assert shares(replace(good, found=(right, more))) == best | {"false_find": 1}
    assert shares(replace(good, found=(more,))) == best | {
        "single_object": 0, "colour": 0, "place": 0, "false_find": 1,
    }  # fmt: skip
    assert shares(replace(good, sign="zoo", background="sky", style="flat")) == best | {
        "sign_seen": 0, "background": 0, "style": 0,
    }  # fmt: skip
    three = replace(good, found=tuple(Found(NAMES[3], 0.9, b, "pink") for b in SCENES[2].things[0].boxes[:3]))
    assert shares(three, SCENES[2])["counting"] == 0
    assert shares(three, SCENES[2])["place"] == 0.75


def test_other_input_is_refused():
    """A single picture, one with transparency or a bundle of another kind: by name, not deep inside."""
    reader = Reader(Judge(NET))
    for shape in ((3, 32, 32), (1, 4, 32, 32), (1, 3, 0, 32)):
        with pytest.raises(BadInput, match=r"pictures are \(B, 3, H, W\)"):
            reader.read(torch.zeros(shape))
    assert reader.read(torch.zeros(0, 3, 32, 32)) == [] == reader.name(torch.zeros(0, 3, 32, 32))


def test_another_kind_of_bundle_is_refused(tmp_path):
    """Was a missing component: --judge pointed at a drawing model."""
    bundle = save_bundle(
        tmp_path / "b", kind="text", name="b", components={}, languages=(), licence="", trained={}, scores={}
    )
    with pytest.raises(BundleError, match="is a text bundle; a judge is needed"):
        Reader.from_bundle(bundle)


def test_a_picture_reads_the_same_in_any_batch():
    """Three pictures read together or alone give the same things."""
    torch.manual_seed(1)
    reader = Reader(Judge(replace(NET, found=0.01)))
    images = torch.rand(3, 3, 48, 40)
    together = reader.read(images)
    alone = [reader.read(image.unsqueeze(0))[0] for image in images]
    assert [len(r.found) for r in together] == [len(r.found) for r in alone]
    for a, b in zip(together, alone, strict=True):
        assert [(f.concept, f.colour) for f in a.found] == [(f.concept, f.colour) for f in b.found]
        assert [f.score for f in a.found] == pytest.approx([f.score for f in b.found], abs=1e-5)


def test_whole_frame_is_the_identity():
    """Without crops the frame is the picture."""
    assert frame([WHOLE], [], SHARP, np.random.default_rng(0)) == WHOLE
