"""Options that several commands share: one name, one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_MODEL = "dalle3"  # the one that follows prompts best
DALLE1 = "dalle1"  # the default of what only DALL·E 1 can do
DALLE2 = "dalle2"  # the default of what only DALL·E 2 can do

Model = Annotated[
    str, typer.Option(metavar="NAME|DIR", help="A bundle: see `armchair models`, or its folder.")
]
N = Annotated[int, typer.Option(metavar="N", help="How many pictures, 1 to 64.")]
Seed = Annotated[
    int | None,
    typer.Option(metavar="S", help="Of the first picture, the next ones count up. [default: random]"),
]
Size = Annotated[
    str | None, typer.Option(metavar="WxH", help="One of the model's sizes. [default: its first]")
]
FittingSize = Annotated[
    str | None,
    typer.Option(
        metavar="WxH", help="One of the model's sizes. [default: the smallest that holds the picture]"
    ),
]
Picture = Annotated[
    Path, typer.Argument(metavar="IMAGE", help="A picture; its middle square is used.", show_default=False)
]
Frames = Annotated[
    int,
    typer.Option("--frames", "--n", metavar="N", help="How many pictures, both ends included, 2 to 64."),
]
UpsamplerSeed = Annotated[
    int, typer.Option(metavar="S", help="Of the noise of enlarging, the only one where DDIM goes both ways.")
]
Steps = Annotated[
    int | None, typer.Option(metavar="K", help="Steps of a diffusion sampler. [default: the model's]")
]
Guidance = Annotated[
    float | None,
    typer.Option(metavar="G", help="How closely to follow the prompt, 1 is off. [default: the model's]"),
]
Shift = Annotated[
    float | None,
    typer.Option(metavar="S", help="Above 1 more of the steps are noisy ones. [default: the model's]"),
]
GuidanceInterval = Annotated[
    str | None,
    typer.Option(
        metavar="LOW-HIGH",
        help="Guide between these shares of the noise alone, as in 0.1-0.8: faster. [default: the model's]",
    ),
]
Sampler = Annotated[
    str | None,
    typer.Option(
        metavar="ddpm|ddim|dpm|euler|heun",
        help="From noise to picture; euler, heun: flows. [default: the model's]",
    ),
]
Prior = Annotated[
    str | None, typer.Option(metavar="diffusion|ar|none", help="Which prior of DALL·E 2 to use.")
]
PriorSteps = Annotated[
    int | None, typer.Option(metavar="K", help="Steps of the diffusion prior. [default: the model's]")
]
PriorGuidance = Annotated[
    float | None,
    typer.Option(metavar="G", help="How closely the prior follows, 1 is off. [default: the model's]"),
]
PriorWeight = Annotated[
    float | None,
    typer.Option(
        metavar="W", help="How much of the prior's embedding is told, 0 to 1. [default: the model's]"
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(metavar="T", help="Below 1 is more typical, above 1 wilder. [default: the model's]"),
]
TopK = Annotated[
    int | None, typer.Option(metavar="K", help="Draw each code from the K likeliest. [default: the model's]")
]
TopP = Annotated[
    float | None,
    typer.Option(metavar="P", help="Draw from the likeliest with share P. [default: the model's]"),
]
Lora = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE[=STRENGTH]",
        help="Change the networks by a LoRA file; may be given several times.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where to compute.")]
Dtype = Annotated[
    str, typer.Option(metavar="auto|float32|bfloat16|float16", help="Precision; auto is float32.")
]
Out = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder for the pictures; nothing there is overwritten.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
