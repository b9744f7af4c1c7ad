"""Lines over a logarithmic axis as an SVG that needs no other file."""

import math
from collections.abc import Mapping, Sequence

from cola_search.report.svg import GRID, picture, words

COLOURS = ("#4269d0", "#d98a00", "#3a9d5d", "#b3446c", "#6d5bd0", "#7d8794", "#1f9aa8", "#8c6d31", "#c2493d", "#5b7f2b")
WIDE, HIGH, LEFT, TOP = 460, 280, 44, 28


def line_chart(curves: Mapping[str, Sequence[tuple[float, float]]], title: str, axis: str) -> str:
    """One line a label through its (x, y) points, x above 0 and logarithmic, y from 0; the legend is in order of the last y."""
    xs = sorted({x for points in curves.values() for x, _ in points})
    most = max((y for points in curves.values() for _, y in points), default=1) or 1
    span = math.log(xs[-1] / xs[0]) or 1

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + math.log(x / xs[0]) / span * WIDE, TOP + (1 - y / most) * HIGH

    parts = [words(LEFT, 14, title, size=12)]
    for tick in ticks(most):
        y = place(xs[0], tick)[1]
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + WIDE}" y1="{y:g}" y2="{y:g}" stroke="{GRID}"/>')
        parts.append(words(LEFT - 6, y + 3, f"{tick:g}", "end"))
    parts += [words(place(x, 0)[0], TOP + HIGH + 16, f"{x:g}", "middle") for x in xs]
    parts.append(words(LEFT + WIDE / 2, TOP + HIGH + 34, axis, "middle"))
    for i, (label, points) in enumerate(sorted(curves.items(), key=lambda pair: -pair[1][-1][1])):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        y = TOP + 8 + 15 * i
        parts.append(f'<rect x="{LEFT + WIDE + 12}" y="{y - 8:g}" width="9" height="9" fill="{colour}"/>')
        parts.append(words(LEFT + WIDE + 26, y, label))
    return picture(LEFT + WIDE + 140, TOP + HIGH + 44, parts, title)


def ticks(most: float) -> list[float]:
    """About five round values from 0 to `most`."""
    step = 10 ** math.floor(math.log10(most))
    step = next(s for s in (step / 5, step / 2, step, step * 2) if most / s <= 6)
    return [step * i for i in range(int(most / step) + 1)]
