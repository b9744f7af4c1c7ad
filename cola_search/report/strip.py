"""A chain as a picture, for dashboards and documents: the same drawing as assets/strip.js makes in the report."""

from collections import Counter

from cola_search.chain import Chain
from cola_search.report.svg import TEXT, numbered, picture, words

_ONCE, _AGAIN = "#7187a3", "#d98a00"
_MARGIN = 4.0


def passes(chain: Chain) -> list[list[int]]:
    """The chain cut wherever it steps back, so that each pass runs left to right."""
    cut: list[list[int]] = []
    for position, layer in enumerate(chain):
        if position == 0 or layer <= chain[position - 1]:
            cut.append([])
        cut[-1].append(layer)
    return cut


def strip_svg(chain: Chain, num_layers: int, width: float = 900.0) -> str:
    """An SVG image of the chain that needs no other file: one column a layer, one row a pass.

    Skipped layers are dashed boxes, a layer that runs again is amber, and a line leads back to where a repeat starts.
    """
    cell = min(46.0, (width - 2 * _MARGIN) / num_layers)
    tall = max(13.0, min(28.0, 0.75 * cell))
    rows = passes(chain)
    step = tall + (3 if len(rows) > 8 else 8)
    high = len(rows) * step + 16
    parts = [
        *_skipped(chain, num_layers, rows, cell, tall, step),
        *_boxes(rows, cell, tall, step),
        *_steps_back(rows, cell, tall, step),
        *_numbers(num_layers, cell, high),
    ]
    label = f"chain {chain}: {len(chain)} layer runs over {num_layers} layers"
    return picture(num_layers * cell + 2 * _MARGIN, high, parts, label)


def _left(layer: int, cell: float) -> float:
    return _MARGIN + layer * cell


def _box(layer: int, row: int, cell: float, tall: float, step: float, look: str) -> str:
    place = (
        f'x="{_left(layer, cell) + 1:g}" y="{row * step + 0.5:g}" width="{max(0.8, cell - 2):g}" height="{tall - 1:g}"'
    )
    return f'<rect {place} rx="{min(4.0, cell / 4):g}" {look}/>'


def _skipped(chain: Chain, num_layers: int, rows: list[list[int]], cell: float, tall: float, step: float) -> list[str]:
    """A dashed box for each skipped layer, in the row of the last run of a lower layer."""
    look = f'fill="none" stroke="{TEXT}" stroke-opacity="0.55" stroke-dasharray="2 2"'
    return [
        _box(
            layer, max((row for row, layers in enumerate(rows) if layers[0] < layer), default=0), cell, tall, step, look
        )
        for layer in chain.skipped(num_layers)
    ]


def _boxes(rows: list[list[int]], cell: float, tall: float, step: float) -> list[str]:
    runs: Counter[int] = Counter()
    boxes = []
    for row, layers in enumerate(rows):
        for layer in layers:
            runs[layer] += 1
            boxes.append(_box(layer, row, cell, tall, step, f'fill="{_ONCE if runs[layer] == 1 else _AGAIN}"'))
    return boxes


def _steps_back(rows: list[list[int]], cell: float, tall: float, step: float) -> list[str]:
    lines = []
    for row in range(1, len(rows)):
        start, end = (_left(layer, cell) + cell / 2 for layer in (rows[row - 1][-1], rows[row][0]))
        top, bottom, bend = (row - 1) * step + tall, row * step, 0.55 * step
        curve = f"M{start:g},{top:g} C{start:g},{top + bend:g} {end:g},{bottom - bend:g} {end:g},{bottom:g}"
        lines.append(f'<path d="{curve}" fill="none" stroke="{_AGAIN}" stroke-width="1.6"/>')
    return lines


def _numbers(num_layers: int, cell: float, high: float) -> list[str]:
    """Layer numbers below the columns: all of them where there is room, else every fifth and the last."""
    return [
        words(_left(layer, cell) + cell / 2, high - 3, str(layer), "middle")
        for layer in numbered(range(num_layers), cell, 1 if cell >= 15 else 5)
    ]
