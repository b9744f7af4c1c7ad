"""The figures in numbers: pure functions from the facts of the samples to what the page draws.

No figure counts anything in the browser, so each can be tested here. Points are short lists, since there are many.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from math import floor
from typing import Any

import numpy as np

from cola_search.report.facts import Facts
from cola_search.report.probes import PROBE_NAMES, ProbesSummary
from cola_search.report.stats import Rate, mean_of, wilson
from cola_search.report.summary import Summary

CURVE_POINTS = 48
MARGIN_BINS = 28
MOST_BEST_POINTS = 500
CONTROL_NAMES = {"decoy": "decoys reached", "random": "random chains, same simulations"}


def figures(facts: Sequence[Facts], summary: Summary) -> dict[str, Any]:
    """All figures of a run; none of them if no sample has a verdict."""
    judged = [fact for fact in facts if fact.outcome != "error"]
    if not judged:
        return {}
    return {
        "forest": forest(summary),
        "depth": depth(judged),
        "usage": {group: usage(judged, group) for group in ("fixed", "shortened")},
        "cloud": cloud(judged),
        "reach": reach(judged, summary),
        "anytime": anytime(judged, summary),
        "voids": voids(judged),
    }


def forest(summary: Summary) -> list[dict[str, Any]]:
    """Rows of (label, rate with interval and counts, colour): each rate that uses gold with its control right below."""
    rows = [
        ("whole model", summary.base_accuracy, "var(--ink)"),
        ("some chain is right (ORACLE)", summary.found_accuracy_oracle, "var(--right)"),
        ("fixed, of base-wrong (ORACLE)", summary.fixed, "var(--fixed)"),
    ]
    if random := summary.controls.get("random"):
        rows.append(("random chains, of base-wrong (ORACLE)", random.base_wrong_reached, "var(--random)"))
    if decoy := summary.controls.get("decoy"):
        rows.append(("decoy reached, of base-wrong", decoy.base_wrong_reached, "var(--control)"))
        rows.append(("decoy reached, of all", decoy.reached, "var(--control)"))
    rows += _probe_rows(summary.probes)
    rows.append(("shortened, of base-right (ORACLE)", summary.shortened, "var(--shortened)"))
    rows.append(("verdicts confirmed one by one", summary.verification_agreement, "var(--same)"))
    return [{"label": label, "color": color, **asdict(rate)} for label, rate, color in rows]


def _probe_rows(probes: ProbesSummary) -> list[tuple[str, Rate, str]]:
    rows = []
    if found := probes.pass_at_k:
        rows.append((f"pass@{found.k} of the base, of base-wrong", found.base_wrong_reached, "var(--control)"))
    for name, label in PROBE_NAMES.items():
        probe = getattr(probes, name)
        if probe is None or not probe.samples:
            continue
        rows.append((label, probe.right, "var(--control)"))
        if probe.base_right is not None:
            rows.append((f"{label}: the base", probe.base_right, "var(--ink)"))
    return rows


def depth(facts: Iterable[Facts]) -> dict[str, Any]:
    """Histogram of the best chain's length where the base is wrong, where it is right, and of the decoys reached."""
    groups: dict[str, Counter[int]] = {"fixed": Counter(), "shortened": Counter(), "decoy": Counter()}
    num_layers = 0
    for fact in facts:
        num_layers = fact.num_layers
        if fact.length is not None:
            groups["shortened" if fact.base_right else "fixed"][fact.length] += 1
        decoy = fact.controls.get("decoy")
        if decoy is not None and decoy.reached and decoy.length is not None:
            groups["decoy"][decoy.length] += 1
    lengths = [num_layers, *(length for group in groups.values() for length in group)]
    return {
        "num_layers": num_layers,
        "low": min(lengths),
        "high": max(lengths) + 1,
        "rows": [
            {"group": name, "length": length, "count": count, "share": round(count / sum(group.values()), 4)}
            for name, group in groups.items()
            for length, count in sorted(group.items())
        ],
        "means": [{"group": name, **asdict(mean_of(group))} for name, group in groups.items() if group],
    }


def usage(facts: Iterable[Facts], group: str) -> dict[str, Any]:
    """Per layer, how many of the group's best chains skip it, run it once, and repeat it, each [num_layers]."""
    chosen = [fact.counts for fact in facts if fact.outcome == group and fact.counts is not None]
    runs = np.array(chosen) if chosen else np.zeros((0, 0), dtype=int)
    return {
        "of": len(chosen),
        "skipped": (runs == 0).sum(axis=0).tolist(),
        "once": (runs == 1).sum(axis=0).tolist(),
        "repeated": (runs > 1).sum(axis=0).tolist(),
    }


def voids(facts: Iterable[Facts]) -> dict[str, Any] | None:
    """Share of tokens that use each layer, a row a phase, and of the same samples' best chains that run it; None without."""
    traced = [fact for fact in facts if fact.prior is not None]
    if not traced:
        return None
    used: dict[str, list[Any]] = {}
    for fact in traced:
        assert fact.prior is not None
        used.setdefault(fact.prior.phase.upper(), []).append(1 - np.array(fact.prior.voids))
    if chains := [np.array(fact.counts) > 0 for fact in traced if fact.counts is not None]:
        used["best chains"] = chains
    rows = [
        {"row": row, "layer": layer, "share": round(float(share), 4), "of": len(shares)}
        for row, shares in used.items()
        for layer, share in enumerate(np.mean(shares, axis=0))
    ]
    alphas = sorted({fact.prior.alpha for fact in traced if fact.prior is not None})
    return {"of": len(traced), "alphas": alphas, "num_layers": traced[0].num_layers, "rows": rows}


def cloud(facts: Sequence[Facts]) -> dict[str, Any]:
    """Every evaluated chain, binned: cells [length, margin, correct, count], and the best chain of each sample.

    The middle 98% of the margins set the bins, and the rest counts at the edge, so that one outlier does not flatten
    the picture. Without margins a cell's height is its verdict.
    """
    margins = np.array([point.margin for fact in facts for point in fact.points if point.margin is not None])
    place = _placer(margins) if len(margins) else None
    cells: Counter[tuple[int, float | str, int]] = Counter()
    for fact in facts:
        for point in fact.points:
            if place is None:
                cells[point.length, "right" if point.correct else "wrong", int(point.correct)] += 1
            elif point.margin is not None:
                cells[point.length, place(point.margin), int(point.correct)] += 1
    best = _best_points(facts, margins) if place is not None else []
    lengths = [facts[0].num_layers, *(length for length, _, _ in cells)]
    return {
        "margins": place is not None,
        "num_layers": facts[0].num_layers,
        "low": min(lengths),
        "high": max(lengths),
        "cells": [[*cell, count] for cell, count in sorted(cells.items())],
        "best": best,
        "chains": int(sum(cells.values())),
    }


def _best_points(facts: Sequence[Facts], margins: np.ndarray) -> list[list[Any]]:
    """[length, margin, outcome] of each sample's best chain, thinned out evenly where there are too many to see."""
    low, high = _limits(margins)
    best = [
        [fact.length, round(min(max(fact.margin, low), high), 3), fact.outcome]
        for fact in facts
        if fact.length is not None and fact.margin is not None
    ]
    return best[:: max(1, -(-len(best) // MOST_BEST_POINTS))]


def _limits(margins: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(margins, [0.01, 0.99])
    return float(low), float(high)


def _placer(margins: np.ndarray) -> Callable[[float], float]:
    """The middle of the bin that a margin falls in; 0 is an edge, since margins above 0 are right."""
    low, high = _limits(margins)
    width = max((high - low) / MARGIN_BINS, 1e-6)

    def place(margin: float) -> float:
        return round((floor(min(max(margin, low), high) / width) + 0.5) * width, 4)

    return place


def reach(facts: Sequence[Facts], summary: Summary) -> dict[str, Any]:
    """Share of samples with a right chain of at most k layers, for each k, with its interval; the same for controls."""
    found = {"found": (len(facts), Counter(fact.length for fact in facts if fact.length is not None))}
    for name in summary.controls:
        runs = [fact.controls[name] for fact in facts if name in fact.controls]
        found[name] = (len(runs), Counter(run.length for run in runs if run.reached and run.length is not None))
    lengths = [facts[0].num_layers, *(length for _, counter in found.values() for length in counter)]
    low, high = max(0, min(lengths) - 1), max(lengths)
    return {
        "num_layers": facts[0].num_layers,
        "low": low,
        "high": high,
        "base": asdict(summary.base_accuracy),
        "series": {name: _cumulative(counter, of, low, high) for name, (of, counter) in found.items()},
    }


def _cumulative(lengths: Counter[int], of: int, low: int, high: int) -> list[list[float | None]]:
    rates = [
        wilson(sum(count for length, count in lengths.items() if length <= most), of) for most in range(low, high + 1)
    ]
    return [_point(most, rate) for most, rate in zip(range(low, high + 1), rates, strict=True)]


def _point(where: float, rate: Rate) -> list[float | None]:
    return [where, *(None if value is None else round(value, 4) for value in (rate.rate, rate.low, rate.high))]


def anytime(facts: Sequence[Facts], summary: Summary) -> dict[str, Any]:
    """What had been found after so many layer executions a sample: fixed, shortened, and mean layers saved.

    An event counts when the search first saw it, and only if its sample ends so by the verified verdict: the curves end
    at the rates of the summary.
    """
    grid = _grid(facts)
    wrong = [fact for fact in facts if not fact.base_right]
    right = [fact for fact in facts if fact.base_right]
    fixed = np.sort([_first(fact, None) for fact in wrong if fact.outcome == "fixed"])
    shorter = np.sort([_first(fact, fact.num_layers) for fact in right if fact.outcome == "shortened"])
    controls = [
        {"kind": name, "label": CONTROL_NAMES.get(name, name), "rate": control.base_wrong_reached.rate}
        for name, control in summary.controls.items()
        if control.base_wrong_reached.rate is not None
    ]
    return {
        "fixed": {"of": len(wrong), "points": _shares(fixed, len(wrong), grid), "controls": controls},
        "shortened": {"of": len(right), "points": _shares(shorter, len(right), grid), "controls": []},
        "saved": {"of": len(right), "points": _saved(right, grid), "controls": []},
    }


def _grid(facts: Sequence[Facts]) -> np.ndarray:
    """Budgets to look at, from one forward pass to the largest search, evenly spaced on a log axis."""
    low = max(1, facts[0].num_layers)
    return np.unique(np.geomspace(low, max(low + 1, *(fact.spent for fact in facts), 1), CURVE_POINTS).round(1))


def _first(fact: Facts, shorter_than: int | None) -> float:
    """Layer executions at the first right chain (shorter than that); of the whole search if only verifying found it."""
    return next((spent for spent, length in fact.rights if shorter_than is None or length < shorter_than), fact.spent)


def _shares(events: np.ndarray, of: int, grid: np.ndarray) -> list[list[float | None]]:
    if of == 0:
        return []
    return [_point(float(cost), wilson(int(np.searchsorted(events, cost, side="right")), of)) for cost in grid]


def _saved(facts: Sequence[Facts], grid: np.ndarray) -> list[list[float | None]]:
    """Mean layers saved at each budget with its interval; never more than the verified chain saves."""
    points: list[list[float | None]] = []
    most = max((fact.num_layers - 1 for fact in facts), default=0)
    for cost in grid if facts else []:
        mean = mean_of(Counter(_saved_by(fact, float(cost)) for fact in facts), least=0, most=most)
        points.append(
            [float(cost), *(None if value is None else round(value, 3) for value in (mean.mean, mean.low, mean.high))]
        )
    return points


def _saved_by(fact: Facts, cost: float) -> int:
    in_the_end = fact.num_layers - fact.length if fact.length is not None else 0
    if cost >= fact.spent:
        return max(0, in_the_end)
    saved = max((fact.num_layers - length for spent, length in fact.rights if spent <= cost), default=0)
    return max(0, min(saved, in_the_end))
