"""What the page shows as HTML: how far the drawing is, and how a picture was drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from armchair.serve.page.desk import Progress
from armchair.serve.page.words import Words


def progress(states: Iterable[Progress], words: Words) -> str:
    """One card a model, side by side: its place in the queue, its step, its previews, what went wrong."""
    return f'<div class="cards">{"".join(_card(state, words) for state in states)}</div>'


def settings(shot: Mapping[str, Any] | None, words: Words) -> str:
    """Every setting of a picture, as a table."""
    if shot is None:
        return f'<p class="quiet">{escape(words("nothing"))}</p>'
    rows: list[tuple[str, Any]] = [
        (words("bundle"), shot["model"]),
        (words("operation"), words(TABS[shot["operation"]])),
        (words("prompt"), shot["prompt"]),
        (words("revised_prompt"), shot["revised_prompt"]),
        (words("seed"), shot["seed"]),
        (words("size"), shot["size"]),
        *shot["extras"].items(),
        *shot["options"].items(),
        (words("drawn_in"), shot["seconds"]),
        (words("notes"), "; ".join(shot["notes"])),
    ]
    cells = "".join(
        f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>"
        for name, value in rows
        if value not in (None, "")
    )
    return f'<table class="settings">{cells}</table>'


def wrong(text: str) -> str:
    return f'<p class="wrong" role="alert">{escape(text)}</p>'


def conversation(turns: Sequence[tuple[str, str, str | None]]) -> str:
    """What was said, and the pictures that came of it. turns: who, text, a picture's file or None"""
    shown: list[str] = []
    for who, text, file in turns:
        picture = "" if file is None else f'<img alt="" src="gradio_api/file={escape(file)}">'
        shown.append(f'<div class="turn {who}">{picture}<div>{escape(text)}</div></div>')
    return f'<div class="turns"><div>{"".join(shown)}</div></div>' if shown else ""


# how gradio's events are set up here: no entry in its API, no veil over what they change
HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": True}
TABS = {  # an operation -> the name of its tab
    "generate": "draw",
    "variations": "vary",
    "inpaint": "inpaint",
    "outpaint": "outpaint",
    "interpolate": "blend",
    "text_diff": "diff",
    "complete": "complete",
}


def _card(state: Progress, words: Words) -> str:
    notes = "".join(f'<p class="quiet">{escape(note)}</p>' for note in state.notes)
    trouble = "" if state.error is None else wrong(state.error)
    shown = "" if state.seconds is not None else _previews(state)
    return (
        f'<section class="card" data-model="{escape(state.wish.model)}"><b>{escape(state.wish.model)}</b> '
        f'<span class="quiet">{escape(_standing(state, words))}</span>{shown}{trouble}{notes}</section>'
    )


def _standing(state: Progress, words: Words) -> str:
    if state.seconds is not None:
        return "" if state.error is not None else words("done", seconds=_seconds(state.seconds, words))
    standing = state.standing
    if standing is None or (standing["state"] == "drawing" and not standing["steps"]):
        return words("begins")
    left = _seconds(standing["eta_seconds"], words)
    if standing["state"] == "waiting":
        return words("waiting", position=standing["position"], seconds=left)
    return words("drawing", step=standing["step"], steps=standing["steps"], seconds=left)


def _previews(state: Progress) -> str:
    places: Sequence[str | None] = [state.previews.get(row) for row in range(state.rows)]
    images = "".join(
        '<i class="blank"></i>' if url is None else f'<img alt="" src="{url}">' for url in places
    )
    return f'<div class="previews">{images}</div>'


def _seconds(seconds: float, words: Words) -> str:
    return words("seconds", count=round(seconds, 1) if seconds < 10 else round(seconds))
