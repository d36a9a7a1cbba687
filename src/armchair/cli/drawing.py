"""What every drawing command does with its job: draw, show progress, save, tell."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armchair.cli.out import line, line_above, progress, show_json
from armchair.core.errors import BadInput
from armchair.core.files import clear_errors, write_beside

if TYPE_CHECKING:
    from PIL import Image

    from armchair.artist.artist import Artist
    from armchair.artist.job import Job


def loaded(model: str, device: str, dtype: str, lora: Sequence[str] | None) -> Artist:
    """The model of a command's options. Raises ArmchairError, as armchair.load."""
    from armchair.artist.artist import load

    given: Sequence[str] = () if lora is None else lora
    return load(model, device=device, dtype=dtype, lora=[strengthened(text) for text in given])


def strengthened(text: str) -> tuple[str, float]:
    """FILE=STRENGTH, or FILE. Raises BadInput for a strength that is no number."""
    path, equals, number = text.rpartition("=")
    if not equals:
        return text, 1.0
    try:
        return path, float(number)
    except ValueError:
        raise BadInput(f"--lora {text}: the strength {number!r} is no number, as in file=0.8") from None


def draw(
    artist: Artist, jobs: Sequence[Job], out: Path, as_json: bool, label: str | None = None, gif: bool = False
) -> None:
    """Draw the pictures of jobs into a folder, each saved as soon as its batch is done and its path printed.

    label: what the files are called where no prompt says it; the pictures then also stand side by side in
    `<seed>-<label>-strip.png`, a row a job.  gif: and one after another in `<seed>-<label>.gif`.

    JSON: [{path, seed, prompt, revised_prompt, size, seconds}], seconds being the batch's time over its
    pictures; of a ranked job, the time of all that was drawn over those that were kept.
    """
    from armchair.core.picture import Picture, file_name

    check_folder(out)
    rows: list[dict[str, Any]] = []
    images: list[Image.Image] = []
    start, batch = time.perf_counter(), 1
    with progress() as bar:
        task = bar.add_task("drawing", total=sum(job.count for job in jobs))
        spent = 0.0
        for job, event in ((one, event) for one in jobs for event in artist.draw(one)):
            if not isinstance(event, Picture):
                batch = event.count if event.count else job.count
                bar.update(task, completed=len(rows) + batch * (event.index + 1) / event.total)
                spent = time.perf_counter() - start
                continue
            name = event.prompt
            if label is not None:
                name = f"{label} {event.recipe['frame']:02d}" if job.frames is not None else label
                images.append(event.image)
            path = event.save(out / file_name(event.seed, name))
            if not as_json:
                line_above(bar, path)
            rows.append(
                {
                    "path": str(path),
                    "seed": event.seed,
                    "prompt": event.prompt,
                    "revised_prompt": event.revised_prompt,
                    "size": f"{event.image.width}x{event.image.height}",
                    "seconds": round(spent / batch, 3),
                }
            )
            start = time.perf_counter()
    more: list[Path] = []
    if label is not None:
        more = together(images, len(images) // len(jobs), out / file_name(jobs[0].seeds[0], label), gif)
    if as_json:
        show_json(rows)
    else:
        for path in more:
            line(path)


def together(images: Sequence[Image.Image], columns: int, path: Path, gif: bool) -> list[Path]:
    """Pictures in rows in NAME-strip.png and, where asked for, in turn in NAME.gif. path: NAME.png"""
    from armchair.core.images import contact_sheet

    sheet = io.BytesIO()
    contact_sheet(images, columns).save(sheet, format="PNG")
    files = [(path.with_name(f"{path.stem}-strip.png"), sheet.getvalue())]
    if gif:
        moving = io.BytesIO()
        there_and_back = [*images[1:], *images[-2:0:-1]]
        images[0].save(
            moving, format="GIF", save_all=True, append_images=there_and_back, duration=1000 // 8, loop=0
        )
        files.append((path.with_suffix(".gif"), moving.getvalue()))
    return [write_beside(place, data) for place, data in files]


def check_folder(out: Path) -> None:
    """Make the folder before minutes are spent on drawing. Raises BadInput, ArmchairError."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out {out} is a file; name a folder")
    with clear_errors(out):
        out.mkdir(parents=True, exist_ok=True)
