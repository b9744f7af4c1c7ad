"""The pictures for a dashboard: chains found, layer usage, depth before and after. Self-contained HTML, in flat memory."""

from collections import Counter
from collections.abc import Iterable
from html import escape
from typing import Self

import numpy as np

from cola_search.chain import Chain
from cola_search.records import Record
from cola_search.report.strip import strip_svg
from cola_search.report.svg import GRID, numbered, picture, words
from cola_search.report.void_figures import phase_heatmap

GROUPS = ("fixed", "shortened")
PANELS = ("panels/chains", "panels/layer_usage_fixed", "panels/layer_usage_shortened", "panels/depth")
"""The keys that a dashboard shows the pictures under."""
VOIDS = "panels/voids"
"""The key of one more, which is there where the prior came from voids."""
MOST_STRIPS = 16
"""Chains that are drawn for each group: those that save the most layers."""
_USE = {"skipped": "#d5d9de", "once": "#7187a3", "repeated": "#d98a00"}
_DEPTH = {"base right": "#00806a", "base wrong, fixed": "#0a66b5", "decoy reached": "#c2500a"}
_LEFT, _WIDE, _HIGH, _GAP = 44, 720, 120, 46


class Panels:
    """Gathers record by record what the pictures show; its size does not grow with the number of records."""

    def __init__(self) -> None:
        self.num_layers = 0
        self.usage: dict[str, list[Counter[str]]] = {group: [] for group in GROUPS}
        """Per layer, how many best chains of the group skip it, run it once, repeat it."""
        self.lengths: dict[str, Counter[int]] = {name: Counter() for name in _DEPTH}
        self._strips: dict[str, list[tuple[int, str, str, str]]] = {group: [] for group in GROUPS}
        self._voids: dict[str, np.ndarray] = {}
        self._traced: Counter[str] = Counter()

    @classmethod
    def of(cls, records: Iterable[Record]) -> Self:
        """The panels of the records, read once."""
        panels = cls()
        for record in records:
            panels.add(record)
        return panels

    def add(self, record: Record) -> None:
        """Counts one record; one that failed is in no picture."""
        result = record.outcome
        if result == "error":
            return
        self.num_layers = record.num_layers
        if record.prior is not None:
            phase = record.prior.phase.upper()
            self._voids[phase] = self._voids.get(phase, 0) + np.array(record.prior.voids)
            self._traced[phase] += 1
        decoy = record.controls.get("decoy")
        if decoy is not None and decoy.reached and decoy.length is not None:
            self.lengths["decoy reached"][decoy.length] += 1
        if record.best is None:
            return
        self.lengths["base wrong, fixed" if result == "fixed" else "base right"][record.best.length] += 1
        if result in GROUPS:
            self._count(result, Chain.parse(record.best.chain).counts(record.num_layers))
            strips = self._strips[result]
            strips.append((record.best.length, record.sample, record.question, record.best.chain))
            strips.sort()
            del strips[MOST_STRIPS:]

    def html(self) -> dict[str, str]:
        """The page of each of PANELS, also while there is little to show, and of VOIDS where there are any."""
        strips = [_strips(group, self._strips[group], self.num_layers) for group in GROUPS]
        pictures = ["".join(strips), *(_usage(group, self.usage[group]) for group in GROUPS)]
        pictures.append(_depth(self.lengths, self.num_layers))
        pages = dict(zip(PANELS, map(_page, pictures), strict=True))
        if self._voids:
            used = {f"{phase} (n={n})": 1 - self._voids[phase] / n for phase, n in self._traced.items()}
            pages[VOIDS] = _page(phase_heatmap(used, "Share of tokens that use each layer, mean over samples"))
        return pages

    def _count(self, group: str, runs: Iterable[int]) -> None:
        for layer, count in enumerate(runs):
            if layer == len(self.usage[group]):
                self.usage[group].append(Counter())
            self.usage[group][layer]["skipped" if count == 0 else "once" if count == 1 else "repeated"] += 1


def _page(body: str) -> str:
    style = "body{font:13px sans-serif;margin:8px;color:#333;background:#fff}h3{margin:12px 0 6px}"
    style += "svg{max-width:100%}svg text{fill:#59626d}"
    return f'<!doctype html><meta charset="utf-8"><style>{style}</style>{body}'


def _strips(group: str, strips: list[tuple[int, str, str, str]], num_layers: int) -> str:
    rows = [
        f"<p><b>{escape(sample)}</b> {escape(question[:200])}<br><code>{escape(text)}</code>: "
        f"{length} layer run{'s' * (length != 1)}, {num_layers - length:+d} saved<br>{strip_svg(Chain.parse(text), num_layers)}</p>"
        for length, sample, question, text in strips
    ]
    return f"<h3>{group} (ORACLE): the shortest chains</h3>" + ("".join(rows) or "<p>none yet</p>")


def _usage(group: str, layers: list[Counter[str]]) -> str:
    """One stacked bar a layer: the share of the group's best chains that skip it, run it once, repeat it."""
    chains = layers[0].total() if layers else 0
    cell = _WIDE / max(1, len(layers))
    parts = [words(_LEFT, 14, f"layer usage of best chains, {group} (ORACLE): n={chains}", size=12)]
    parts += _legend(_USE, 30)
    parts += _axis(44, "100%")
    for layer, counts in enumerate(layers):
        bottom = 44.0 + _HIGH
        for name, colour in _USE.items():
            tall = _HIGH * counts[name] / chains
            bottom -= tall
            told = f"layer {layer}: {name} by {counts[name]} of {chains}"
            parts.append(_bar(_LEFT + layer * cell, bottom, cell, tall, colour, told))
    parts += _numbers(range(len(layers)), cell, 44 + _HIGH, "layer")
    return picture(_LEFT + _WIDE + 8, 44 + _HIGH + 36, parts, f"layer usage, {group}")


def _depth(lengths: dict[str, Counter[int]], num_layers: int) -> str:
    """One histogram of best lengths a group; the dashed line is the whole model, the depth before."""
    seen = [num_layers, *(length for counts in lengths.values() for length in counts)]
    span = range(min(seen), max(seen) + 1)
    cell = _WIDE / len(span)
    parts: list[str] = []
    for row, (name, counts) in enumerate(lengths.items()):
        top = 24.0 + row * (_HIGH + _GAP)
        most = max(counts.values(), default=0)
        mean = sum(length * count for length, count in counts.items()) / max(1, counts.total())
        found = "" if name == "decoy reached" else " (ORACLE)"
        told = f"{name}{found}: {num_layers} layers before, {mean:.1f} after on average (n={counts.total()})"
        parts.append(words(_LEFT, top - 8, told if most else f"{name}: none yet", size=12))
        parts += _axis(top, str(most))
        for length, count in sorted(counts.items()):
            tall = _HIGH * count / most
            note = f"{count} of length {length}"
            parts.append(_bar(_LEFT + (length - span[0]) * cell, top + _HIGH - tall, cell, tall, _DEPTH[name], note))
        x = _LEFT + (num_layers - span[0] + 0.5) * cell
        parts.append(f'<path d="M{x:g},{top:g} V{top + _HIGH:g}" stroke="#333" stroke-dasharray="4 3"/>')
        parts += _numbers(span, cell, top + _HIGH, "length: layer runs; height: samples")
    return picture(_LEFT + _WIDE + 8, 24 + len(lengths) * (_HIGH + _GAP), parts, "depth before and after")


def _legend(colours: dict[str, str], y: float) -> list[str]:
    parts = []
    for place, (name, colour) in enumerate(colours.items()):
        x = _LEFT + 90 * place
        parts += [f'<rect x="{x}" y="{y - 9:g}" width="10" height="10" fill="{colour}"/>', words(x + 14, y, name)]
    return parts


def _axis(top: float, most: str) -> list[str]:
    lines = [
        f'<path d="M{_LEFT},{y:g} H{_LEFT + _WIDE}" stroke="{GRID}"/>' for y in (top, top + _HIGH / 2, top + _HIGH)
    ]
    return [*lines, words(_LEFT - 5, top + 4, most, "end"), words(_LEFT - 5, top + _HIGH + 3, "0", "end")]


def _bar(x: float, y: float, cell: float, tall: float, colour: str, told: str) -> str:
    place = f'x="{x + 0.5:g}" y="{y:g}" width="{max(0.5, cell - 1):g}" height="{tall:g}"'
    return f'<rect {place} fill="{colour}"><title>{escape(told)}</title></rect>'


def _numbers(values: range, cell: float, y: float, name: str) -> list[str]:
    """Numbers below the columns, all where there is room, else every fifth and the last; below them what they count."""
    numbers = [
        words(_LEFT + (value - values.start + 0.5) * cell, y + 14, str(value), "middle")
        for value in numbered(values, cell, 1 if cell >= 18 else 5)
    ]
    return [*numbers, words(_LEFT + _WIDE, y + 27, name, "end")]
