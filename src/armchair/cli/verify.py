"""armchair verify: is a bundle what it was when it was made."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from armchair.cli import options as o


def command(
    model: Annotated[
        str, typer.Argument(metavar="NAME|DIR", help="A bundle's name or folder.", show_default=False)
    ],
    device: o.Device = "auto",
    as_json: o.Json = False,
) -> int:
    """Check every hash of a bundle exactly, and draw its golden picture again, to 40 dB. Exit 1 if anything
    is wrong.

    \b
    Example
      armchair verify dalle1
    """
    from armchair.artist.find import find
    from armchair.cli.out import line, show_json
    from armchair.core.bundle import Bundle, verify

    folder = find(model)
    problems = verify(folder)
    result: dict[str, Any] = {"model": model, "folder": str(folder), "golden_psnr": None}
    if not problems:
        from armchair.artist.artist import load
        from armchair.artist.redo import GOLDEN_PSNR, verify_golden
        from armchair.weights.kinds import PIPELINES

        bundle = Bundle.open(folder)
        if bundle.kind not in PIPELINES:
            line_golden = f"a {bundle.kind} bundle draws nothing by itself"
        else:
            found = verify_golden(load(model, device=device))
            if found is None:
                line_golden = "it has no golden picture"
            else:
                psnr, prompt = found
                result["golden_psnr"] = None if psnr == float("inf") else round(psnr, 2)
                said = "equal" if psnr == float("inf") else f"{psnr:.1f} dB"
                line_golden = f"golden picture {prompt!r}: {said}"
                if psnr < GOLDEN_PSNR:
                    problems.append(
                        f"the golden picture {prompt!r} differs: {psnr:.1f} dB, {GOLDEN_PSNR:g} are needed"
                    )
        files = len(bundle.components)
        if not as_json and not problems:
            line(f"{bundle.name}: {files} components, every sha256 right; {line_golden}")
    if as_json:
        show_json({**result, "ok": not problems, "problems": problems})
        return 1 if problems else 0
    from armchair.cli.app import fail

    for problem in problems:
        fail(problem)
    return 1 if problems else 0
