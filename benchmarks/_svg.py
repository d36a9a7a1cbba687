"""Line charts as SVG, readable on light and dark pages, without a library for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 440, 320  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 34, 46  # what axes and legend take of it
COLOURS = ("#2166ac", "#b2182b", "#1b7837", "#762a83")


@dataclass(frozen=True)
class Line:
    """Points (x, y) that are joined; labels: beside each, or none; ends: of each one's interval, or none."""

    name: str
    points: Sequence[tuple[float, float]]
    labels: Sequence[str] = ()
    ends: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Panel:
    """Lines over one pair of axes; names: what stands at x = 0, 1 ... in place of numbers."""

    x: str
    y: str
    lines: Sequence[Line]
    names: Sequence[str] = ()


def save(panels: Sequence[Panel], path: Path) -> None:
    """Side by side."""
    parts = [drawn(panel, i * WIDTH) for i, panel in enumerate(panels)]
    size = f"{WIDTH * len(panels)} {HEIGHT}"
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif" '
        f'font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n",
        encoding="utf-8",
    )


def drawn(panel: Panel, left: int) -> str:
    """One panel, so far from the left."""
    points = [point for line in panel.lines for point in line.points]
    ends = [end for line in panel.lines for pair in line.ends for end in pair]
    x0, x1, xs = ticks([x for x, _ in points])
    y0, y1, ys = ticks([*(y for _, y in points), *ends])
    if panel.names:
        x0, x1, xs = -0.5, len(panel.names) - 0.5, list(range(len(panel.names)))
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + wide * (x - x0) / (x1 - x0), TOP + high * (y1 - y) / (y1 - y0)

    out = [f'<g transform="translate({left} 0)">']
    for x in xs:
        across, _ = at(x, y0)
        out.append(f'<path d="M{across:.1f} {TOP}v{high}" stroke="#dddddd"/>')
        word = panel.names[int(x)] if panel.names else f"{x:g}"
        out.append(text(across, HEIGHT - BOTTOM + 16, word, "middle"))
    for y in ys:
        _, down = at(x0, y)
        out.append(f'<path d="M{LEFT} {down:.1f}h{wide}" stroke="#dddddd"/>')
        out.append(text(LEFT - 6, down + 4, f"{y:g}", "end"))
    out.append(text(LEFT + wide / 2, HEIGHT - 10, panel.x, "middle"))
    turned = f'transform="rotate(-90 14 {TOP + high / 2:.1f})"'
    out.append(text(14, TOP + high / 2, panel.y, "middle", turned))
    for number, line in enumerate(panel.lines):
        colour = COLOURS[number % len(COLOURS)]
        places = [at(*point) for point in line.points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        for (x, _), (least, most) in zip(places, line.ends, strict=False):
            (_, bottom), (_, top) = at(x0, least), at(x0, most)
            out.append(f'<path d="M{x:.1f} {bottom:.1f}V{top:.1f}" stroke="{colour}"/>')
        for (x, y), label in zip(places, line.labels, strict=False):
            out.append(text(x + 5, y - 5, label, "start", f'fill="{colour}"'))
        out.append(
            text(LEFT + number * wide / max(2, len(panel.lines)), 20, line.name, "start", f'fill="{colour}"')
        )
    return "\n".join([*out, "</g>"])


def text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def ticks(values: Sequence[float]) -> tuple[float, float, list[float]]:
    """Round numbers around all values: the lowest, the highest, and those at which a line is ruled."""
    low, high = min(values), max(values)
    reach = high - low if high > low else max(abs(high), 1.0)
    rough = reach / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    last += first == last
    return first * step, last * step, [i * step for i in range(first, last + 1)]
