"""What the tables of experiments/results/search_quality_*.jsonl are made of: means over items, ratios and their intervals.

A list of rows is one search of one task with one model: a row a seed.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cola_search.report.stats import RESAMPLES

Rows = list[dict[str, Any]]


def ratio(mine: Rows, other: Rows, look: float) -> str:
    """The quotient of mean layers saved, with its interval over the same resampled items."""
    a, b = saved(mine, look, mine + other), saved(other, look, mine + other)
    draws = np.random.default_rng(0).integers(len(a), size=(RESAMPLES, len(a)))
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.nanquantile(a[draws].mean(1) / b[draws].mean(1), [0.025, 0.975])
        digits = 3 if high - low < 0.1 else 2
        return f"{a.mean() / b.mean():.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def more_fixed(mine: Rows, other: Rows, look: float) -> str:
    """The difference of the shares fixed, with its interval over items, and on how many items more and less was fixed."""
    more = fixed(mine, look, mine + other) - fixed(other, look, mine + other)
    return f"{interval(more, '{:+.2f}')}, {int((more > 0).sum())} won, {int((more < 0).sum())} lost"


def saved(rows: Rows, look: float, among: Rows | None = None) -> np.ndarray:
    """Layers saved per base-right item, averaged over seeds, [items]; see over_items."""

    def layers(row: dict, length: int) -> float:
        return max(0, row["num_layers"] - length) if length else 0

    return over_items(rows, look, layers, right=True, among=among)


def shortened(rows: Rows, look: float) -> np.ndarray:
    """Share of seeds with a right chain below the model's length per base-right item, [items]."""
    return over_items(rows, look, lambda row, length: float(0 < length < row["num_layers"]), right=True)


def fixed(rows: Rows, look: float, among: Rows | None = None) -> np.ndarray:
    """Share of seeds with a right chain per base-wrong item, [items]; see over_items."""
    return over_items(rows, look, lambda row, length: float(length > 0), right=False, among=among)


def over_items(
    rows: Rows, look: float, value: Callable[[dict, int], float], right: bool, among: Rows | None = None
) -> np.ndarray:
    """The value of each item at a look, averaged over rows, [items]; items on whose base all rows of `among` (None: these
    rows) agree that it is right, or wrong: on another device a near tie may fall the other way."""
    agreed = [
        all(base == right for base in bases)  # None, an error, is neither
        for bases in zip(*(row["base"] for row in among or rows), strict=True)
    ]
    per_seed = []
    for row in rows:
        column = max(k for k, cost in enumerate(row["grid"]) if cost <= look * row["num_layers"])
        chosen = [lengths[column] for keep, lengths in zip(agreed, row["shortest"], strict=True) if keep]
        per_seed.append([value(row, length) for length in chosen])
    return np.mean(per_seed, axis=0)


def first_fix(rows: Rows) -> str:
    """The median of executions, to read."""
    middle = executions(rows)
    return "never" if np.isinf(middle) else f"{middle:.0f}"


def executions(rows: Rows) -> float:
    """Median executions to the first fix over base-wrong items and seeds, those never fixed counting as infinite."""
    spent = [
        np.inf if cost is None else cost
        for row in rows
        for base, cost in zip(row["base"], row["first_fix"], strict=True)
        if base == 0
    ]
    return float(np.median(spent)) if spent else np.inf


def against_decoy(rows: Rows) -> list[str]:
    """Decoy rate, its difference to the fix rate with interval, median lengths, share verified: of the seed that has them."""
    row = next((r for r in rows if r["seed"] == 0), None)
    if row is None:
        return ["-"] * 4
    pairs = [
        (shortest[-1], decoy[-1])
        for base, shortest, decoy in zip(row["base"], row["shortest"], row["decoy"], strict=True)
        if base == 0 and decoy is not None
    ]
    reached = np.array([[gold > 0, decoy > 0] for gold, decoy in pairs], float).reshape(-1, 2)
    lengths = [[length for length in column if length] for column in zip(*pairs, strict=True)] if pairs else [[], []]
    medians = ", ".join(f"{np.median(column):.0f}" if column else "-" for column in lengths)
    difference = interval(reached[:, 0] - reached[:, 1], "{:+.2f}")
    held, of = row["verified"]
    return [f"{int(reached[:, 1].sum())}/{len(pairs)}", difference, medians, f"{held}/{of}"]


def bounds(values: np.ndarray) -> tuple[float, float, float]:
    """(low, mean, high) of a mean over items: 95% percentile bootstrap."""
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(1), [0.025, 0.975])
    return float(low), float(values.mean()), float(high)


def interval(values: Sequence[float] | np.ndarray, form: str) -> str:
    """Mean with its bootstrap interval over items, and their number; without where all agree and a bootstrap has no width."""
    values = np.asarray(values, float)
    if not len(values):
        return "-"
    low, middle, high = bounds(values)
    if values.min() == values.max():
        return f"{form.format(middle)} (all agree, n={len(values)})"
    return f"{form.format(middle)} ({form.format(low)}–{form.format(high)}, n={len(values)})"
