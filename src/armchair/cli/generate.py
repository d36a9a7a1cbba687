"""armchair generate: a prompt in, one picture a seed out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from armchair.cli import options as o


def command(
    prompt: Annotated[
        str,
        typer.Argument(metavar="PROMPT", help="What to draw, in the model's languages.", show_default=False),
    ],
    model: o.Model = o.DEFAULT_MODEL,
    n: o.N = 1,
    seed: o.Seed = None,
    size: o.Size = None,
    steps: o.Steps = None,
    shift: o.Shift = None,
    guidance: o.Guidance = None,
    guidance_interval: o.GuidanceInterval = None,
    sampler: o.Sampler = None,
    prior: o.Prior = None,
    prior_steps: o.PriorSteps = None,
    prior_guidance: o.PriorGuidance = None,
    prior_weight: o.PriorWeight = None,
    decoder: Annotated[
        str | None,
        typer.Option(metavar="plain|consistency", help="Of DALL·E 3's latents, where a bundle has both."),
    ] = None,
    temperature: o.Temperature = None,
    top_k: o.TopK = None,
    top_p: o.TopP = None,
    rerank: Annotated[
        int | None,
        typer.Option(metavar="N", help="Draw N, up to 512, and keep those that fit the prompt best."),
    ] = None,
    clip: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="The clip bundle that ranks, with --rerank.")
    ] = "clip",
    expand: Annotated[
        str | None,
        typer.Option(
            metavar="off|builtin|LLM",
            help="Who writes the prompt out before it is drawn; LLM: an endpoint's address, or a folder.",
        ),
    ] = None,
    revised: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Words to draw in place of the prompt: an expansion as you like it."
        ),
    ] = None,
    lora: o.Lora = None,
    device: o.Device = "auto",
    dtype: o.Dtype = "auto",
    out: o.Out = Path("out"),
    as_json: o.Json = False,
) -> None:
    """Draw a prompt: out/SEED-PROMPT.png, with all that is needed to draw it again inside the PNG.

    \b
    Examples
      armchair generate "a red apple" --n 4 --seed 1
      armchair generate "빨간 사과" --model dalle1 --json
      armchair generate "two cats" --rerank 16
      armchair generate "a cat on a blue car" --expand builtin
    """
    from armchair.artist.check import check_n, check_prompt
    from armchair.artist.find import find

    check_prompt(prompt)  # before torch is imported
    check_n(n)
    find(model)
    from armchair.cli.drawing import draw, loaded

    artist = loaded(model, device, dtype, lora)
    chosen = {
        "steps": steps,
        "shift": shift,
        "guidance": guidance,
        "guidance_interval": guidance_interval,
        "sampler": sampler,
        "prior": prior,
        "prior_steps": prior_steps,
        "prior_guidance": prior_guidance,
        "prior_weight": prior_weight,
        "decoder": decoder,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
    }
    job = artist.job(
        prompt,
        n=n,
        seed=seed,
        size=size,
        rerank=rerank,
        clip=clip,
        expand=expand,
        revised=revised,
        options=chosen,
    )
    draw(artist, [job], out, as_json)
