"""What people ask for, checked: every refusal names the value and the remedy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from armchair.core.errors import BadInput, nearest
from armchair.core.images import parse_size

MAX_N = 64
MAX_PROMPT = 10_000  # characters; models read far fewer
MAX_SEED = 2**63 - 1


def check_prompt(prompt: object) -> str:
    """The prompt without outer blanks. Raises BadInput for an empty, overlong or non-text one."""
    if not isinstance(prompt, str):
        raise BadInput(f"the prompt is {type(prompt).__name__}, not text")
    if not prompt.strip():
        raise BadInput('the prompt is empty; say what to draw, as in "a red apple"')
    if len(prompt) > MAX_PROMPT:
        raise BadInput(f"the prompt has {len(prompt):,} characters; at most {MAX_PROMPT:,} are read")
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise BadInput("the prompt is not valid UTF-8 text") from None
    return prompt.strip()


def check_n(n: object) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MAX_N:
        raise BadInput(f"n is {n!r}; 1 to {MAX_N} pictures can be drawn at once")
    return n


def check_seed(seed: object, n: int = 1) -> int:
    """The first of n seeds."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED - n:
        raise BadInput(f"seed is {seed!r}; a whole number from 0 to {MAX_SEED - n} is needed")
    return seed


def check_size(size: str | None, sizes: Sequence[str], name: str) -> str:
    """One of `sizes`, "WIDTHxHEIGHT"; None is the first. Raises BadInput with the list."""
    if size is None:
        return sizes[0]
    width, height = parse_size(size)
    if f"{width}x{height}" not in sizes:
        raise BadInput(f"{name} does not draw {width}x{height}; it draws {', '.join(sizes)}")
    return f"{width}x{height}"


def check_steps(name: str, value: object) -> int | None:
    """A count of at least 1, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadInput(f"{name} is {value!r}; a whole number of at least 1 is needed")
    return value


RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "steps": (lambda v: v >= 1 and v == int(v), "a whole number of at least 1"),
    "shift": (lambda v: 1 <= v <= 100, "a number from 1 (levels of noise evenly spaced) to 100"),
    "guidance": (lambda v: v >= 0, "a number of at least 0 (1 is off)"),
    "temperature": (lambda v: v >= 0, "a number of at least 0 (0 always takes the likeliest)"),
    "top_k": (lambda v: v >= 1 and v == int(v), "a whole number of at least 1"),
    "top_p": (lambda v: 0 < v <= 1, "a number above 0 and up to 1"),
    "prior_steps": (lambda v: v >= 1 and v == int(v), "a whole number of at least 1"),
    "prior_guidance": (lambda v: v >= 0, "a number of at least 0 (1 is off)"),
    "prior_weight": (lambda v: 0 <= v <= 1, "a number from 0 (the caption alone) to 1"),
    "eta": (lambda v: 0 <= v <= 1, "a number from 0 (the picture itself) to 1"),
    "strength": (lambda v: 0 < v <= 1, "a number above 0 and up to 1"),
}
CHOICES: dict[str, tuple[str, ...]] = {
    "sampler": ("ddpm", "ddim", "dpm", "euler", "heun"),
    "prior": ("diffusion", "ar", "none"),
    "decoder": ("plain", "consistency"),
}


def _check_interval(value: object) -> None:
    from armchair.diffusion.guidance import parse_interval

    parse_interval(value)


READ: dict[str, Callable[[object], None]] = {"guidance_interval": _check_interval}  # raises BadInput
MAX_FRAMES = 64
ANCHORS = {  # the share of the free room that is left of a picture, and above it
    f"{tall}-{wide}".removeprefix("center-").removesuffix("-center"): (x, y)
    for tall, y in (("top", 0.0), ("center", 0.5), ("bottom", 1.0))
    for wide, x in (("left", 0.0), ("center", 0.5), ("right", 1.0))
}


def check_options(given: Mapping[str, Any], defaults: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The system's defaults with what was given on top; None means not given.

    Raises BadInput for an option that this system does not take, or a value out of its range.
    """
    chosen = {key: value for key, value in defaults.items() if key != "size"}
    for key, value in given.items():
        if value is None:
            continue
        if key not in chosen:
            taken = ", ".join(sorted(chosen)) if chosen else "none"
            raise BadInput(f"{name} has no option {key!r}.{nearest(key, chosen)} It takes {taken}")
        if key in RANGES:
            fits, words = RANGES[key]
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not math.isfinite(value)
                or not fits(value)
            ):
                raise BadInput(f"{key} is {value!r}; {words} is needed")
        if key in CHOICES and value not in CHOICES[key]:
            hint = nearest(str(value), CHOICES[key])
            raise BadInput(f"{key} {value!r} is none of {', '.join(CHOICES[key])}.{hint}")
        if key in READ:
            READ[key](value)
        chosen[key] = value
    return chosen


def check_frames(frames: object) -> int:
    """How many pictures lie on a way, both ends included."""
    if isinstance(frames, bool) or not isinstance(frames, int) or not 2 <= frames <= MAX_FRAMES:
        raise BadInput(f"frames is {frames!r}; 2 to {MAX_FRAMES} are needed")
    return frames


def check_components(components: Sequence[int]) -> tuple[int, ...]:
    """Counts of principal components, each 1 or more."""
    if isinstance(components, str) or not isinstance(components, Sequence):
        raise BadInput(f"components is {components!r}; give a list of counts, as in [20, 40, 80]")
    counts = tuple(components)
    if not counts:
        raise BadInput("components is empty; name counts, as in 20,40,80")
    for count in counts:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise BadInput(f"components {count!r}: whole numbers of at least 1 are needed, as in 20,40,80")
    if len(counts) > MAX_FRAMES:
        raise BadInput(f"{len(counts)} counts of components; at most {MAX_FRAMES} are drawn")
    return counts


def check_anchor(anchor: str) -> tuple[float, float]:
    """Where a picture lies on a larger canvas: the share of the free room left of it, and above it."""
    if anchor not in ANCHORS:
        raise BadInput(f"anchor {anchor!r} is none of {', '.join(ANCHORS)}.{nearest(anchor, ANCHORS)}")
    return ANCHORS[anchor]
