"""Where captions name the things of their scenes."""

from dataclasses import replace

import pytest

from armchair.data.world.layout import Box
from armchair.data.world.mentions import spots
from armchair.data.world.scene import Scene, Thing, WorldConfig
from armchair.data.world.source import World


def scene(*things: tuple[str, int]) -> Scene:
    """Things of these concepts, so many of each, one box after the other."""
    made, at = [], iter(range(10))
    for concept, count in things:
        boxes = tuple(Box((next(at) + 0.5) / 10, 0.5, 0.1, 0.2) for _ in range(count))
        made.append(Thing(concept, "glossy", "natural", boxes))
    return Scene(0, tuple(made), (), "white", None)


@pytest.mark.parametrize(
    ("text", "language", "things", "named"),
    [
        ("a cat and a dog", "en", [("cat", 1), ("dog", 1)], [("a cat", 0), ("a cat and a dog", 1)]),
        ("a dog and a cat", "en", [("cat", 1), ("dog", 1)], [("a dog", 1), ("a dog and a cat", 0)]),
        (  # one name within another
            "a bear beside a teddy bear",
            "en",
            [("bear", 1), ("teddy bear", 1)],
            [("a bear", 0), ("a bear beside a teddy bear", 1)],
        ),
        ("Three cats", "en", [("cat", 3)], [("Three cats", 0), ("Three cats", 1), ("Three cats", 2)]),
        ("cattle and a dog", "en", [("cat", 1), ("dog", 1)], [("cattle and a dog", 1)]),
        ("빨간 사과가 있는 그림", "ko", [("apple", 1)], [("빨간 사과", 0)]),
    ],
)
def test_names_are_found(text: str, language: str, things: list, named: list):
    """In the order of the words, each with its own box; what is not named has none."""
    found = spots(scene(*things), text, language)
    assert [(text[: spot.end], round(spot.x * 10 - 0.5)) for spot in found] == named
    assert all((spot.y, spot.w, spot.h) == (0.5, 0.1, 0.2) for spot in found)


def test_true_captions_name_everything():
    """Short and long ones, both languages; alt texts leave things out."""
    world = World(replace(WorldConfig(), crowds=0.4))
    for index in range(150):
        boxes = sum(thing.count for thing in world.scene(index).things)
        for caption in world.peek(index).captions:
            assert len(caption.spots) == boxes if caption.kind != "alt" else len(caption.spots) <= boxes


def test_a_share_does_not_say_how_things_stand():
    """People write "a cat and a dog" too. Only short captions change, by the scene alone; names stay, and so
    does what is said of things that hide part of each other.
    """
    said, half = (World(replace(WorldConfig(), pairs=1, single=0, unsaid=share)) for share in (0.0, 0.5))
    changed = 0
    for index in range(100):
        for before, after in zip(said.peek(index).captions, half.peek(index).captions, strict=True):
            if before != after:
                assert after.kind == "short" and len(after.spots) == len(before.spots)
                assert said.scene(index).apart
                changed += 1
    assert 30 < changed < 80
    assert said.scene(3) == half.scene(3)
