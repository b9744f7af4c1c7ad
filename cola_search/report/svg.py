"""The frame and the words of the pictures that are made in Python: SVG that needs no other file."""

from collections.abc import Sequence
from html import escape

TEXT, GRID = "#7d8794", "#d5d9de"


def words(x: float, y: float, text: str, anchor: str = "start", size: int = 10) -> str:
    """A text element; `anchor` is start, middle or end, `size` in pixels."""
    font = f'font-family="sans-serif" font-size="{size}"'
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" {font} fill="{TEXT}">{escape(text)}</text>'


def picture(wide: float, high: float, parts: Sequence[str], label: str) -> str:
    """The whole image; `label` says in words what it shows."""
    size = f'width="{wide:g}" height="{high:g}" viewBox="0 0 {wide:g} {high:g}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def numbered(values: range, cell: float, every: int) -> list[int]:
    """The values whose columns, `cell` wide, have a number: the last, and each `every`th that does not run into that one's."""
    return [
        value for value in values if value == values[-1] or (value % every == 0 and (values[-1] - value) * cell >= 14)
    ]
