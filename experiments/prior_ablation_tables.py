"""Tables and curves of `prior_ablation.py`: pure functions of its rows.

Values of an item are averaged over seeds first, so that items are what is resampled. Intervals are 95% percentile
bootstraps over items (Efron 1979); differences to uniform are taken item by item. Medians count what never happened as inf.
"""

import math
import shlex
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cola_search.report.budget_curves import Band, budget_curves
from cola_search.report.stats import RESAMPLES

Row = dict[str, Any]
Groups = dict[tuple[str, str, str], dict[str, list[Row]]]


def chosen(rows: Sequence[Row], apart: Sequence[str]) -> dict[str, str]:
    """Per search the form with the highest gain, meant over budgets, items, tasks and models, of those not in `apart`."""
    gains: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        gains[row["search"]][row["form"]].append(float(gain(row).mean()))
    return {
        search: max((form for form in forms if form not in apart), key=lambda form: np.mean(forms[form]))
        for search, forms in gains.items()
    }


def gain(row: Row) -> np.ndarray:
    """What was won on each item at each cost `[items, grid]`: the share of layers saved, or 1 for a fix, or 0."""
    base, shortest = np.array(row["base"])[:, None], np.array(row["shortest"], dtype=float)
    saved = 1 - shortest / row["num_layers"]
    return np.asarray(np.where(shortest == 0, 0.0, np.where(base == 1, saved, base == 0)))


def saved(row: Row) -> np.ndarray:
    """Layers saved `[items, grid]`; nan where the base is wrong. 0 as long as the base itself was not paid for."""
    base, shortest = np.array(row["base"])[:, None], np.array(row["shortest"], dtype=float)
    return np.asarray(np.where(base == 1, np.where(shortest > 0, row["num_layers"] - shortest, 0), np.nan))


def fixed(row: Row) -> np.ndarray:
    """1 where a wrong base was fixed, else 0 `[items, grid]`; nan where the base is right."""
    base, shortest = np.array(row["base"])[:, None], np.array(row["shortest"])
    return np.asarray(np.where(base == 0, shortest > 0, np.nan))


def first(row: Row, key: str) -> np.ndarray:
    """Layer executions until it first happened `[items]`; inf if it never did, nan where it cannot happen."""
    wanted = 0 if key == "first_fix" else 1
    costs = [math.inf if cost is None else cost for cost in row[key]]
    return np.where(np.array(row["base"]) == wanted, costs, np.nan)


def over_seeds(values: Sequence[np.ndarray], combine: Callable[..., Any] = np.nanmean) -> np.ndarray:
    """Seeds combined item by item; nan where no seed has a value."""
    stacked = np.stack(values)
    known = ~np.isnan(stacked).all(axis=0)
    out = np.full(stacked.shape[1:], np.nan)
    out[known] = combine(stacked[:, known], axis=0)
    return out


def mean_band(values: np.ndarray) -> Band:
    """Mean and interval over items of `[items, grid]`, nan left out: (low, mean, high), each `[grid]`."""
    known = ~np.isnan(values)
    draws = np.random.default_rng(0).multinomial(len(values), np.full(len(values), 1 / len(values)), size=RESAMPLES)
    with np.errstate(invalid="ignore"):
        means = (draws @ np.nan_to_num(values)) / (draws @ known)
        low, high = (
            np.nanquantile(means, [0.025, 0.975], axis=0) if known.any() else np.full((2, values.shape[1]), np.nan)
        )
        middle = np.nansum(values, axis=0) / known.sum(axis=0)
    return low, middle, high


def median_band(values: np.ndarray) -> tuple[float, float, float]:
    """(low, median, high) over the items `[items]` that are not nan; any of them may be inf."""
    known = values[~np.isnan(values)]
    if not len(known):
        return math.nan, math.nan, math.nan
    picks = np.random.default_rng(0).integers(len(known), size=(RESAMPLES, len(known)))
    medians = np.median(known[picks], axis=1)
    low, high = np.quantile(medians, [0.025, 0.975], method="inverted_cdf")
    return float(low), float(np.median(known)), float(high)


def write(out: Path, choose: Sequence[Row], report: Sequence[Row], best: Mapping[str, str]) -> None:
    """Writes OUT.md and OUT.svg, and prints the tables."""
    groups = grouped(report)
    said = ", ".join(f"{form} for {search}" for search, form in best.items())
    parts = [
        "# Priors: does it help to know the voids?",
        f"`{shlex.join(['python', *sys.argv])}`",
        f"Chosen on items apart from those reported: {said}.",
        *pooled(report),
        *(part for key, forms in groups.items() for part in section(key, forms)),
        *stage_one(choose),
    ]
    out.with_suffix(".md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    if groups:
        out.with_suffix(".svg").write_text(curves(groups) + "\n", encoding="utf-8")
    print("\n\n".join(parts))


def grouped(rows: Sequence[Row]) -> Groups:
    """The rows by (model, task, search), and of these by form."""
    groups: Groups = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row["model"], row["task"], row["search"]][row["form"]].append(row)
    return groups


def section(key: tuple[str, str, str], forms: Mapping[str, list[Row]]) -> list[str]:
    """The tables of one search on one task and model."""
    some = next(iter(forms.values()))
    items, seeds = len(some[0]["base"]), len(some)
    right = round(float(np.mean([np.mean(row["base"]) for row in some])) * items)
    head = f"## {' · '.join(key)}\n\n{items} items ({right} base right), {seeds} seeds"
    parts = [head]
    for told, measure, scale in (
        ("Layers saved, base right", saved, 1),
        ("Fixed in %, base wrong (ORACLE)", fixed, 100),
    ):
        values = {form: scale * over_seeds([measure(row) for row in rows]) for form, rows in forms.items()}
        parts.append(
            f"{told}, by layer executions; in brackets the difference to uniform\n\n" + by_cost(values, some[0])
        )
    lines = [["form", "first fix, median", "first shortening, median"], ["---"] * 3]
    for form, rows in forms.items():
        bands = [
            median_band(over_seeds([first(row, key) for row in rows], _median))
            for key in ("first_fix", "first_shorter")
        ]
        lines.append([form, *(interval(*band, "{:.0f} ({:.0f}–{:.0f})") for band in bands)])
    return [*parts, "Layer executions until then\n\n" + markdown(lines)]


def _median(values: np.ndarray, axis: int) -> np.ndarray:
    """The median without nan; of an even number of values the lower one, since infinite ones have no middle."""
    return np.asarray(np.nanquantile(values, 0.5, axis=axis, method="inverted_cdf"))


def by_cost(values: Mapping[str, np.ndarray], row: Row) -> str:
    """A table of means, and of paired differences to uniform, with a column for each cost."""
    lines = [["form", *map(str, row["grid"])], ["---"] * (len(row["grid"]) + 1)]
    for form, mine in values.items():
        cells = [interval(*band, "{:.2f} ({:.2f}–{:.2f})") for band in zip(*mean_band(mine), strict=True)]
        if form != "uniform" and "uniform" in values:
            bands = zip(*mean_band(mine - values["uniform"]), strict=True)
            signed = [interval(*band, " [{:+.2f}: {:+.2f} to {:+.2f}]", "") for band in bands]
            cells = [cell + difference for cell, difference in zip(cells, signed, strict=True)]
        lines.append([form, *cells])
    return markdown(lines)


def pooled(rows: Sequence[Row]) -> list[str]:
    """Per search the gain in percent, with items of all tasks together, each averaged over models and seeds."""
    parts = []
    for search in dict.fromkeys(row["search"] for row in rows):
        by_form: dict[str, dict[str, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
        for row in rows:
            if row["search"] == search:
                by_form[row["form"]][row["task"]].append(100 * gain(row))
        values = {
            form: np.concatenate([np.mean(some, axis=0) for some in tasks.values()]) for form, tasks in by_form.items()
        }
        told = "gain in % (share of layers saved where the base is right, else whether it was fixed; ORACLE), all tasks and models"
        parts.append(f"## {search}: {told}\n\n" + by_cost(values, next(r for r in rows if r["search"] == search)))
    return parts


def stage_one(rows: Sequence[Row]) -> list[str]:
    """The gain of every form on the items that forms are chosen on, meant over the costs of the grid."""
    models_tasks = list(dict.fromkeys((row["model"], row["task"]) for row in rows))
    lines = [["search", "form", *(" ".join(each) for each in models_tasks), "mean"], ["---"] * (len(models_tasks) + 3)]
    table: dict[tuple[str, str], dict[tuple[str, str], float]] = defaultdict(dict)
    for row in rows:
        table[row["search"], row["form"]][row["model"], row["task"]] = 100 * float(gain(row).mean())
    for (search, form), gains in sorted(table.items(), key=lambda line: (line[0][0], -np.mean(list(line[1].values())))):
        cells = [f"{gains[each]:.2f}" if each in gains else "–" for each in models_tasks]
        lines.append([search, form, *cells, f"{np.mean(list(gains.values())):.2f}"])
    return ["## Stage 1: gain in %, mean over the costs, on the items that forms are chosen on\n\n" + markdown(lines)]


def interval(low: float, middle: float, high: float, form: str, nothing: str = "–") -> str:
    """The three numbers as text, the middle one first; `nothing` where there are no values."""
    return nothing if math.isnan(middle) else form.format(middle, low, high)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def curves(groups: Groups) -> str:
    """Layers saved and share fixed against layer executions, a panel for each search, task and model."""
    panels = {}
    for key, forms in groups.items():
        grid = next(iter(forms.values()))[0]["grid"]
        for told, measure in (("layers saved", saved), ("share fixed", fixed)):
            bands = {form: mean_band(over_seeds([measure(row) for row in rows])) for form, rows in forms.items()}
            panels[f"{' · '.join(key)}: {told}"] = (grid, bands)
    return budget_curves(panels)
