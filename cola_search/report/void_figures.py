"""Voids as pictures: SVG images that need no other file, for the report, W&B and documents."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from cola_search.report.svg import GRID, numbered, picture, words

_USED, _VOID = "#7187a3", "#f2efe9"
_LINES = ("#4269d0", "#d98a00", "#3a9d5d", "#b3446c", "#6d5bd0", "#7d8794", "#1f9aa8", "#8c6d31")
_MOST_TOKENS = 400


def token_heatmap(tokens: Sequence[str], voids: np.ndarray, title: str) -> str:
    """One row a token with its text, one column a layer; blue = used, pale = void. `voids` is bool `[tokens, L]`.

    Of a longer sequence the first 400 tokens are drawn, and the picture says so.
    """
    shown = min(len(tokens), _MOST_TOKENS)
    if shown < len(tokens):
        title = f"{title} (first {shown} of {len(tokens)} tokens)"
    labels = [readable(token) for token in tokens[:shown]]
    return _grid(labels, 1.0 - voids[:shown].astype(float), title)


def phase_heatmap(used: Mapping[str, np.ndarray], title: str) -> str:
    """One row a phase (or any label), one column a layer; the darker, the larger the share `[L]` of tokens that use it."""
    return _grid(list(used), np.array(list(used.values())), title)


def usage_curves(curves: Mapping[str, Sequence[tuple[float, float]]], title: str) -> str:
    """Share of layers used (0 to 1) against alpha, one line a label, from its (alpha, share) points."""
    wide, high, left, top = 420, 240, 40, 24
    alphas = sorted({alpha for points in curves.values() for alpha, _ in points})
    low, span = alphas[0], (alphas[-1] - alphas[0]) or 1.0

    def place(alpha: float, share: float) -> tuple[float, float]:
        return left + (alpha - low) / span * wide, top + (1 - share) * high

    parts = [words(left, 14, title, size=12)]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        y = place(low, tick)[1]
        parts.append(f'<line x1="{left}" x2="{left + wide}" y1="{y:g}" y2="{y:g}" stroke="{GRID}"/>')
        parts.append(words(left - 6, y + 3, f"{tick:.0%}", "end"))
    parts += [words(place(alpha, 0)[0], top + high + 16, f"{alpha:g}", "middle") for alpha in alphas]
    parts.append(words(left + wide / 2, top + high + 32, "alpha", "middle"))
    for i, (label, points) in enumerate(curves.items()):
        colour = _LINES[i % len(_LINES)]
        spots = [place(*point) for point in sorted(points)]
        path = " ".join(f"{x:g},{y:g}" for x, y in spots)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        parts += [f'<circle cx="{x:g}" cy="{y:g}" r="2.6" fill="{colour}"/>' for x, y in spots]
        y = top + 8 + 15 * i
        parts.append(f'<rect x="{left + wide + 12}" y="{y - 8:g}" width="9" height="9" fill="{colour}"/>')
        parts.append(words(left + wide + 26, y, label))
    tall = max(top + high + 40, top + 15 * len(curves) + 10)
    return picture(left + wide + 30 + 6.2 * max(map(len, curves)), tall, parts, title)


def readable(token: str) -> str:
    """A token's text on one line, with spaces and breaks that can be seen."""
    shown = token.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "·")
    return shown if len(shown) <= 20 else shown[:19] + "…"


def _grid(labels: Sequence[str], shares: np.ndarray, title: str) -> str:
    """Cells `[rows, columns]` in a shade between void and used, with a label a row and a number a column."""
    rows, columns = shares.shape if len(labels) else (0, 0)
    cell, tall, top = 14.0, 14.0, 24.0
    left = 12 + 6.4 * max((len(label) for label in labels), default=0)
    parts = [words(4, 14, title, size=12)]
    for row, label in enumerate(labels):
        y = top + row * tall
        parts.append(words(left - 5, y + 10.5, label, "end"))
        parts += [
            f'<rect x="{left + column * cell:g}" y="{y:g}" width="{cell - 1:g}" height="{tall - 1:g}" '
            f'fill="{_shade(float(shares[row, column]))}"{_tip(label, column, float(shares[row, column]))}'
            for column in range(columns)
        ]
    base = top + rows * tall + 10
    shown = numbered(range(columns), cell, 1 if columns <= 16 else 5)
    parts += [words(left + (c + 0.5) * cell, base, str(c), "middle") for c in shown]
    return picture(max(left + columns * cell + 8, 8 + 7 * len(title)), base + 8, parts, title)


def _tip(label: str, layer: int, share: float) -> str:
    """The end of a cell: with the number it stands for, where its colour does not say it."""
    if share in (0.0, 1.0):
        return "/>"
    return f"><title>{escape(label)}, layer {layer}: {share:.0%} used</title></rect>"


def _shade(share: float) -> str:
    """The colour for a share between 0 (void) and 1 (used)."""
    pale, full = ([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (_VOID, _USED))
    mixed = (round(a + (b - a) * share) for a, b in zip(pale, full, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)
