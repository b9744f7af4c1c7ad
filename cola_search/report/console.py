"""What tables in a terminal are made of: a console that is wide enough, columns, and numbers in words."""

from collections.abc import Collection, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from cola_search.shell import LastingConsole

_WIDE = 140


def wide_console(console: Console | None) -> Console:
    """The console, or a new one; as wide as a table needs where it is a pipe, which has no width to keep to."""
    console = console or LastingConsole()
    if not console.is_terminal:
        console.width = max(console.width, _WIDE)
    return console


def empty_table(columns: Sequence[str], left: Collection[str], **look: Any) -> Table:
    """A table without a frame; its columns are flush right but for those in `left`. look: what else rich's Table takes."""
    table = Table(box=None, pad_edge=False, **look)
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right", overflow="fold")
    return table


def percent(share: float | None, digits: int = 0) -> str:
    """`45%`, or `45.1%` with one digit."""
    return "-" if share is None else f"{share:.{digits}%}"


def span(difference: Sequence[float | None]) -> str:
    """A difference and the limits of its interval in points, `+1.5 (-0.5 to +3.5)`; of no items nothing is known."""
    if difference[0] is None:
        return "-"
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * (value or 0.0) for value in difference))


def p_value(value: float) -> str:
    """A p-value with three digits."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"
