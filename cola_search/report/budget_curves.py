"""Curves of what searches reach against what they spend, with their intervals: an SVG image."""

from collections.abc import Mapping, Sequence
from math import floor, log2, log10

import numpy as np

from cola_search.report.svg import GRID, picture, words

Band = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Low, middle and high, each `[costs]`."""
_LINES = (
    "#4269d0", "#d98a00", "#b3446c", "#3a9d5d", "#2f3b45", "#27b5c4", "#8c6d31", "#6d5bd0", "#7d8794", "#c2493d",
    "#5b7f2b", "#d45fa3", "#9ac23c",
)  # fmt: skip
_WIDE, _HIGH, _LEFT, _GAP = 300.0, 150.0, 44.0, 66.0


def budget_curves(panels: Mapping[str, tuple[Sequence[float], Mapping[str, Band]]], columns: int = 2) -> str:
    """A panel for each title with its costs (drawn in doublings) and the bands of its labels, which share their colours."""
    labels = list(dict.fromkeys(label for _, bands in panels.values() for label in bands))
    colours = {label: _LINES[i % len(_LINES)] for i, label in enumerate(labels)}
    wide = columns * (_WIDE + _LEFT + 24) + 20
    parts, top = _legend(colours, wide)
    for place, (title, (costs, bands)) in enumerate(panels.items()):
        row, column = divmod(place, columns)
        drawn = "".join(_panel(title, costs, bands, colours))
        x, y = _LEFT + column * (_WIDE + _LEFT + 24), top + row * (_HIGH + _GAP)
        parts.append(f'<g transform="translate({x:g},{y:g})">{drawn}</g>')
    rows = -(-len(panels) // columns)
    return picture(wide, top + rows * (_HIGH + _GAP), parts, "reached against spent")


def _legend(colours: Mapping[str, str], wide: float) -> tuple[list[str], float]:
    """The labels in as many lines as they need, and the height at which panels may begin."""
    parts, x, y = [], 8.0, 8.0
    for label, colour in colours.items():
        length = 34 + 6.5 * len(label)
        if x > 8 and x + length > wide:
            x, y = 8.0, y + 18
        parts.append(f'<rect x="{x:g}" y="{y:g}" width="10" height="10" fill="{colour}"/>')
        parts.append(words(x + 14, y + 9, label))
        x += length
    return parts, y + 44


def _panel(title: str, costs: Sequence[float], bands: Mapping[str, Band], colours: Mapping[str, str]) -> list[str]:
    highs = [value for band in bands.values() for value in band[2] if np.isfinite(value)]
    top = _round_up(max(highs, default=0.0) or 1.0)
    span = log2(costs[-1] / costs[0]) or 1.0

    def at(cost: float, value: float) -> str:
        return f"{log2(cost / costs[0]) / span * _WIDE:.1f},{_HIGH - value / top * _HIGH:.1f}"

    parts = [words(0, -10, title, size=11)]
    for share in (0.0, 0.5, 1.0):
        y = _HIGH - share * _HIGH
        parts += [f'<path d="M0,{y:g} H{_WIDE:g}" stroke="{GRID}"/>', words(-5, y + 3, f"{share * top:.3g}", "end")]
    parts += [words(float(at(cost, 0).split(",")[0]), _HIGH + 14, f"{cost:g}", "middle") for cost in costs]
    parts.append(words(_WIDE / 2, _HIGH + 28, "layer executions", "middle"))
    for label, (low, middle, high) in bands.items():
        if not np.isfinite(middle).all():
            continue
        around = " ".join([*map(at, costs, low), *reversed([*map(at, costs, high)])])
        line = " ".join(map(at, costs, middle))
        parts.append(f'<polygon points="{around}" fill="{colours[label]}" opacity="0.12"/>')
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colours[label]}" stroke-width="1.6"/>')
    return parts


def _round_up(value: float) -> float:
    """The next number that an axis may end at: 1 for 0.88, 30 for 27.9."""
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value * (1 - 1e-9))
