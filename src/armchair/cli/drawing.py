"""What every drawing command does with its job: draw, show progress, save, tell."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armchair.cli.out import line_above, progress, show_json
from armchair.core.errors import BadInput
from armchair.core.files import clear_errors

if TYPE_CHECKING:
    from armchair.artist.artist import Artist, Job


def draw(artist: Artist, job: Job, out: Path, as_json: bool) -> None:
    """Draw a job's pictures into a folder, each saved as soon as its batch is done and its path printed.

    JSON: [{path, seed, prompt, revised_prompt, size, seconds}], seconds being the batch's time over its
    pictures.
    """
    from armchair.core.picture import Picture, file_name

    check_folder(out)
    rows: list[dict[str, Any]] = []
    start, batch = time.perf_counter(), 1
    with progress() as bar:
        task = bar.add_task("drawing", total=len(job.seeds))
        spent = 0.0
        for event in artist.draw(job):
            if not isinstance(event, Picture):
                batch = len(event.images)
                bar.update(task, completed=len(rows) + batch * (event.index + 1) / event.total)
                spent = time.perf_counter() - start
                continue
            path = event.save(out / file_name(event.seed, event.prompt))
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
            if len(rows) % batch == 0:
                start = time.perf_counter()
    if as_json:
        show_json(rows)


def check_folder(out: Path) -> None:
    """Make the folder before minutes are spent on drawing. Raises BadInput, ArmchairError."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out {out} is a file; name a folder")
    with clear_errors(out):
        out.mkdir(parents=True, exist_ok=True)
