"""Conversations: what each turn draws, what is on disk, and how one goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from armchair.artist.artist import load
from armchair.artist.conversation import Conversation, settled
from armchair.core.errors import BadInput
from armchair.core.picture import read_recipe


def talk(folder: Path | None = None, **changes) -> Conversation:
    return Conversation(load("toy"), folder=folder, **{"seed": 7, **changes})


def test_a_conversation(shipped: Path, tmp_path: Path):
    """A picture, changes, undo: the seed stays, and every picture draws what is wanted by then."""
    chat = talk(tmp_path / "c")
    said = ["a cat", "make it red", "add a dog on the left", "in line style", "undo"]
    turns = [chat.say(text) for text in said]
    assert [t.action for t in turns] == ["new", "change", "change", "change", "undo"]
    wanted = [t.scene.prompt for t in turns]
    assert wanted[:3] == ["a cat", "a red cat", "a dog to the left of a red cat"]
    assert "outlines" in wanted[3] or "line" in wanted[3]
    assert wanted[4] == wanted[2] and turns[4].path == turns[2].path
    assert {t.scene.seed for t in turns} == {7}
    for turn in turns[:4]:
        recipe = read_recipe(tmp_path / "c" / str(turn.path))
        assert recipe["prompt"] == turn.scene.prompt and recipe["seed"] == 7
        assert turn.picture is not None
        assert (
            turn.picture.image.tobytes() == load("toy").generate(turn.scene.prompt, seed=7)[0].image.tobytes()
        )
    rows = [json.loads(line) for line in (tmp_path / "c" / "transcript.jsonl").read_text().splitlines()]
    assert [row["said"] for row in rows] == said and [row["prompt"] for row in rows] == wanted


def test_it_goes_on(shipped: Path, tmp_path: Path):
    """Another process, the same conversation: undo reaches back into the first one."""
    first = talk(tmp_path / "c")
    for text in ("a cat", "make it red", "undo", "make it blue"):
        first.say(text)
    second = talk(tmp_path / "c", seed=None)
    assert second.seed == 7 and second.scene == first.scene and len(second.turns) == 4
    assert second.say("undo").scene.prompt == "a cat"
    with pytest.raises(BadInput, match="nothing before this to go back to"):
        second.say("undo")
    assert second.say("add a dog").number == 6


def test_seeds(shipped: Path):
    """Again takes the next seed and keeps the words; a seed can be named, and stays."""
    chat = talk()
    first = chat.say("a cat")
    again, named, after = chat.say("again"), chat.say("seed 3"), chat.say("make it red")
    assert [t.scene.seed for t in (first, again, named, after)] == [7, 8, 3, 3]
    assert again.scene.prompt == named.scene.prompt == "a cat"
    assert first.picture is not None and again.picture is not None
    assert first.picture.image.tobytes() != again.picture.image.tobytes()


def test_words_that_are_not_understood(shipped: Path):
    """They are drawn as they are, and do not stand in the way of what comes after."""
    chat = talk()
    chat.say("a cat")
    assert chat.say("make it more dramatic").scene.prompt == "a cat, make it more dramatic"
    assert chat.say("make it red").scene.prompt == "a red cat, make it more dramatic"
    assert chat.say("a blue car").scene.prompt == "a blue car", "another picture begins anew"


def test_mistakes_leave_it_as_it_was(shipped: Path, tmp_path: Path):
    """A turn that could not be drawn was not made."""
    chat = talk(tmp_path / "c")
    for text, match in (("", "prompt is empty"), ("undo", "nothing before"), ("again", "no picture yet")):
        with pytest.raises(BadInput, match=match):
            chat.say(text)
    chat.say("a cat")
    chat.options["nonsense"] = 1
    with pytest.raises(BadInput, match="no option 'nonsense'"):
        chat.say("make it red")
    assert len(chat.turns) == 1 and chat.scene is not None and chat.scene.prompt == "a cat"
    (tmp_path / "c" / "transcript.jsonl").write_text('{"turn": 1}\n')
    with pytest.raises(BadInput, match="transcript.jsonl is damaged"):
        talk(tmp_path / "c")


def test_settled():
    """What a server without a memory draws for a list of requests."""
    assert settled(["a cat", "make it red", "add a dog", "undo"]).prompt == "a red cat"
    assert settled(["고양이", "빨간색으로 바꿔 줘"]).prompt == "빨간 고양이"
    with pytest.raises(BadInput, match="conversation is empty"):
        settled([])
