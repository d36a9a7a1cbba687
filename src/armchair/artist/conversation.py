"""Drawing in a conversation: a picture, then what is to be different about it, step by step.

The seed stays, so that what was not mentioned stays alike. The transcript and every picture are on disk
before the next turn, and a conversation goes on where it was left.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armchair.artist.check import check_options, check_prompt, check_seed, check_size
from armchair.artist.expansion import BUILTIN, OFF, check_writer, rewrite, write_out
from armchair.core.errors import BadInput
from armchair.core.files import clear_errors, write_bytes
from armchair.core.picture import Picture, file_name
from armchair.data.world.reading import read
from armchair.data.world.revising import is_new, revise, strange
from armchair.data.world.telling import state
from armchair.text.words import has_hangul

if TYPE_CHECKING:
    from armchair.artist.artist import Artist

log = logging.getLogger("armchair")

TRANSCRIPT = "transcript.jsonl"
_UNDO = re.compile(
    r"(?:undo|go back|take (?:it|that) back|되돌려|되돌려 ?줘|취소|실행 ?취소|방금 거 취소)[.!]?", re.I
)
_AGAIN = re.compile(
    r"(?:again|try again|another one|once more|다시|다시 그려 ?줘|한 번 더|하나 더)[.!]?", re.I
)
_SEED = re.compile(r"(?:seed|시드) (\d+)", re.I)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a conversation has come to."""

    core: str  # what is wanted, as far as it was understood
    extra: str = ""  # requests that nobody understood, word for word
    revised_prompt: str | None  # what is drawn in its place, where somebody writes it out
    seed: int

    @property
    def prompt(self) -> str:
        """What is wanted, in the person's words and those of their requests."""
        return f"{self.core.rstrip(' .')}, {self.extra}" if self.extra else self.core


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One thing said, and what came of it."""

    number: int  # from 1
    said: str
    action: str  # new, change, again, seed or undo
    scene: Scene
    path: str | None  # the picture's file, relative to the conversation's folder
    picture: Picture | None = None  # None where it is on disk alone, from before the conversation went on


class Conversation:
    """Turns with one artist. Nothing of it is random but its seed, where none is given."""

    def __init__(
        self,
        artist: Artist,
        *,
        seed: int | None = None,
        folder: Path | None = None,
        expand: str | None = None,
        size: str | None = None,
        options: Mapping[str, Any] | None = None,
    ):
        """expand: who writes prompts out; None is the builtin writer where the model was trained on long
        captions (its pipeline says `expands`), else nobody. size, options: as in `Artist.generate`.

        Raises BadInput for a wrong seed, writer, size or option, and for a folder with a damaged transcript.
        """
        self.artist, self.folder = artist, folder
        usual = BUILTIN if artist.pipeline.expands else OFF
        self.expand = check_writer(usual if expand is None else expand)
        self.size = check_size(size, artist.sizes, artist.name)
        self.options = check_options(
            {} if options is None else options, artist.pipeline.defaults, artist.name
        )
        self.turns: list[Turn] = [] if folder is None else _resumed(folder)
        self.states: list[Turn] = []  # the turns that an undo goes back through, the present one last
        for turn in self.turns:
            self._enter(turn)
        if seed is not None:
            self.seed = check_seed(seed)
        else:
            self.seed = self.states[-1].scene.seed if self.states else secrets.randbelow(2**31)

    @property
    def scene(self) -> Scene | None:
        """What is on the table; None before the first picture."""
        return self.states[-1].scene if self.states else None

    def say(self, text: str) -> Turn:
        """Draw, change, or "undo", "again" (with the next seed), "seed 7". Raises BadInput for words that
        make no sense yet, and whatever drawing raises; the conversation is then as before.
        """
        said = check_prompt(text)
        if _UNDO.fullmatch(said):
            return self._keep(self._undone(said))
        seed, action = self.seed, "change"
        if found := _SEED.fullmatch(said):
            seed, action = check_seed(int(found[1])), "seed"
        elif _AGAIN.fullmatch(said):
            seed, action = check_seed(self.seed + 1), "again"
        if action != "change":
            if self.scene is None:
                raise BadInput(f"{said!r}: there is no picture yet; say what to draw")
            scene = replace(self.scene, seed=seed)
        else:
            language, device = self.artist.writing, str(self.artist.device)
            scene, action = following(self.scene, said, self.expand, language, self.seed, device)
        drawn = self.artist.job(
            scene.prompt,
            revised=scene.revised_prompt,
            seed=scene.seed,
            size=self.size,
            options=self.options,
        )
        from armchair.artist.artist import pictures

        picture = pictures(self.artist.draw(drawn))[0]
        number = len(self.turns) + 1
        path = None
        if self.folder is not None:
            with clear_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            slug = file_name(number, said)
            path = picture.save(self.folder / slug).name
        return self._keep(
            Turn(number=number, said=said, action=action, scene=scene, path=path, picture=picture)
        )

    def _undone(self, said: str) -> Turn:
        if len(self.states) < 2:
            raise BadInput(f"{said!r}: there is nothing before this to go back to")
        before = self.states[-2]
        return replace(before, number=len(self.turns) + 1, said=said, action="undo")

    def _keep(self, turn: Turn) -> Turn:
        """On disk first: a turn that is not in the transcript was not made."""
        self.turns.append(turn)
        if self.folder is not None:
            try:
                write_bytes(self.folder / TRANSCRIPT, "".join(_line(t) for t in self.turns).encode())
            except BaseException:
                self.turns.pop()
                raise
        self._enter(turn)
        self.seed = turn.scene.seed
        return turn

    def _enter(self, turn: Turn) -> None:
        if turn.action == "undo":
            self.states.pop()
        else:
            self.states.append(turn)


def following(
    scene: Scene | None, said: str, expand: str, language: str | None, seed: int = 0, device: str = "auto"
) -> tuple[Scene, str]:
    """The scene after a request, and whether it is "new" or a "change". scene: before it, None at the
    beginning; expand, language: as in `write_out`.
    """
    if scene is None or is_new(said, read(scene.prompt)):
        action, core, extra = "new", said, ""
        found = write_out(said, expand, language=language, device=device)
    else:
        action, (core, extra) = "change", changed(scene.core, scene.extra, said)
        before = scene.prompt if scene.revised_prompt is None else scene.revised_prompt
        found = rewrite(before, said, expand, language=language, device=device)
    if found.note is not None:
        log.warning(found.note)
    return Scene(core=core, extra=extra, revised_prompt=found.text, seed=seed), action


def changed(core: str, extra: str, request: str) -> tuple[str, str]:
    """`core` and `extra` of a scene after a request: told anew where it is understood, else kept as it is."""
    told = read(core)
    known = told.things and not told.joined and not strange(core) and not strange(request)
    wanted = revise(told, request) if known else None
    if wanted is None:
        return core, f"{extra}, {request}" if extra else request
    return state(wanted, "ko" if has_hangul(core) else "en"), extra


def settled(requests: Sequence[str], expand: str = OFF, language: str | None = None) -> Scene:
    """What a conversation's requests, one after another, come to, without drawing: for a server that keeps no
    state. "undo" takes the last one back. Raises BadInput for none.
    """
    scenes: list[Scene] = []
    for said in map(check_prompt, requests):
        if _UNDO.fullmatch(said):
            if len(scenes) < 2:
                raise BadInput(f"{said!r}: there is nothing before this to go back to")
            scenes.pop()
        else:
            scene, _ = following(scenes[-1] if scenes else None, said, expand, language)
            scenes.append(scene)
    if not scenes:
        raise BadInput("the conversation is empty; say what to draw")
    return scenes[-1]


def _line(turn: Turn) -> str:
    row = {
        "turn": turn.number,
        "said": turn.said,
        "action": turn.action,
        "prompt": turn.scene.prompt,
        **asdict(turn.scene),
        "path": turn.path,
    }
    return json.dumps(row, ensure_ascii=False) + "\n"


def _resumed(folder: Path) -> list[Turn]:
    """The turns of a folder's transcript; none where there is no transcript. Raises BadInput."""
    place = folder / TRANSCRIPT
    if not place.exists():
        return []
    turns: list[Turn] = []
    try:
        for line in place.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            scene = Scene(**{name: row[name] for name in ("core", "extra", "revised_prompt", "seed")})
            turns.append(
                Turn(
                    number=row["turn"],
                    said=row["said"],
                    action=row["action"],
                    scene=scene,
                    path=row["path"],
                )
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{place} is damaged: {error}; name another folder") from error
    return turns
