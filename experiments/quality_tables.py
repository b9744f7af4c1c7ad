"""The tables and curves of experiments/results/search_quality_*.jsonl, in markdown and SVG beside them.

python experiments/quality_tables.py
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cells import RESULTS, read_rows

from cola_search.report.budget_curves import Band, budget_curves
from cola_search.report.stats import RESAMPLES

Rows = list[dict[str, Any]]
OURS = ("edits", "edits+learnt", "partial")
RIVALS = ("random", "hill_climbing", "hill_climbing_cheap", "hill_climbing_learning")
PUBLISHED = ("cola", "drllm", "drllm_released", "repolar")
# What the curves show, for more cannot be told apart; the tables have them all.
DRAWN = ("edits", "hill_climbing", "hill_climbing_learning", "drllm_released", "random", "cola", "repolar")
SHOWN = (2, 5, 10, 20, 50, 200)  # runs of the whole model at which the tables look


def main() -> None:
    """Writes search_quality.md and one SVG a model and task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=RESULTS, help="with a search_quality_MODEL.jsonl a model")
    folder = parser.parse_args().folder
    groups: dict[tuple[str, str, int, int, int], dict[str, Rows]] = defaultdict(lambda: defaultdict(list))
    for row in (row for path in sorted(folder.glob("search_quality_*.jsonl")) for row in read_rows(path)):
        seeds = groups[row["model"], row["task"], row["first"], row["items"], row["chains"]][row["search"]]
        if row["seed"] in [other["seed"] for other in seeds]:  # as with another --in-flight; it would count as two
            raise SystemExit(
                f"seed {row['seed']} of {row['search']} on {row['task']}, {row['model']}, has two rows: take one out."
            )
        seeds.append(row)
    parts = [HEAD]
    for (model, task, _, _, chains), searches in groups.items():
        parts.append(section(model, task, searches))
        (folder / f"search_quality_{model}_{task}_{chains}.svg").write_text(curves(searches) + "\n")
    (folder / "search_quality.md").write_text("\n".join(parts))


HEAD = """# Search quality

`python experiments/search_quality.py`, then `python experiments/quality_tables.py`. Budgets are layer executions, in runs of the
whole model; every search has the same items, engine and budget. Layers saved: the model's layers less those of the shortest right
chain found (0 if none), mean over the items that the base has right. Fixed: share of the items that it has wrong for which a right
chain was found (oracle: the gold answer says which). Several seeds are averaged per item; intervals are 95% percentile bootstraps
over items, none where all items agree, for then nothing tells how far others would differ. The decoy is the same search sent
after a wrong answer that the base did not give, on the items that the base has wrong.
"""


def section(model: str, task: str, searches: dict[str, Rows]) -> str:
    """All that is known of one model and task."""
    row = next(iter(searches.values()))[0]
    base = np.array(row["base"]) == 1
    devices = sorted({r["device"] for rows in searches.values() for r in rows})
    # behind the 40 digits there is `-dirty` or nothing
    commits = sorted({r["commit"][:8] + r["commit"][40:] for rows in searches.values() for r in rows})
    lines = [
        f"\n## {model}, {task}, up to {row['chains']} runs\n",
        f"{len(base)} items ({row['first']} to {row['first'] + len(base) - 1}), base right on {base.sum()}; "
        f"{row['num_layers']} layers; {', '.join(devices)}; commit {', '.join(commits)}.\n",
        *saved_table(searches),
        "",
        *fixed_table(searches),
        "",
        *ratios(searches),
        *charged(searches),
    ]
    return "\n".join(lines) + "\n"


def charged(searches: dict[str, Rows]) -> list[str]:
    """The same with every read of the head as a cost; nothing where rows are older than that."""
    known = {
        name: [{**row, **row["with_reads"]} for row in rows if "with_reads" in row] for name, rows in searches.items()
    }
    known = {name: rows for name, rows in known.items() if rows}
    if not known:
        return []
    read = next(iter(known.values()))[0]["head_cost"]
    told = f"\nEach chain's read of the head charged as well, which costs as much as {read:.1f} layers here:\n"
    fixes = [f"{name} {first_fix(rows)}" for name, rows in ordered(known)]
    return [told, *saved_table(known), "", *ratios(known), f"- first fix, median: {', '.join(fixes)}"]


def saved_table(searches: dict[str, Rows]) -> list[str]:
    """Layers saved at each look, and how many chains were scored in all."""
    looks = looks_of(searches)
    lines = [
        "| layers saved at | seeds | chains an item | " + " | ".join(str(look) for look in looks) + " |",
        "| --- |" + " --- |" * (len(looks) + 2),
    ]
    for name, rows in ordered(searches):
        shown = [interval(saved(rows, look), "{:.1f}") for look in looks]
        chains = np.mean([row["evaluations"] / len(row["base"]) for row in rows])
        lines.append(f"| {name} | {len(rows)} | {chains:.0f} | " + " | ".join(shown) + " |")
    return lines


def fixed_table(searches: dict[str, Rows]) -> list[str]:
    """Share fixed at each look, executions to the first fix, and what the decoy says of it."""
    looks = [look for look in looks_of(searches) if look >= 5]
    head = [f"fixed at {look}" for look in looks]
    lines = [
        "| search | "
        + " | ".join(head)
        + " | first fix, median | decoy reached | fixed − decoy | length: fix, decoy | verified |",
        "| --- |" + " --- |" * (len(looks) + 5),
    ]
    for name, rows in ordered(searches):
        shown = [interval(fixed(rows, look), "{:.2f}") for look in looks]
        lines.append(f"| {name} | " + " | ".join([*shown, first_fix(rows), *against_decoy(rows)]) + " |")
    return lines


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


def ratios(searches: dict[str, Rows]) -> list[str]:
    """Layers saved by ours over those of others, and share fixed less theirs, with intervals over items."""
    ours = [name for name in OURS if name in searches]
    published = [name for name in PUBLISHED if name in searches]
    lines = []
    for look in (10, 20, 50, 200):
        if look not in looks_of(searches) or not ours:
            continue
        best = max(published, key=lambda name: float(np.mean(saved(searches[name], look))), default=None)
        rivals = [name for name in (*RIVALS, best) if name in searches]
        for mine in ours if rivals else ():
            texts = [f"{ratio(searches[mine], searches[rival], look)} x {rival}" for rival in rivals]
            lines.append(f"- layers saved by {mine} at {look}: {'; '.join(texts)}")
            texts = [f"{rival} {more_fixed(searches[mine], searches[rival], look)}" for rival in rivals]
            lines.append(f"- share fixed by {mine} at {look}, less that by {'; '.join(texts)}")
    return lines


def ratio(mine: Rows, other: Rows, look: float) -> str:
    """The quotient of mean layers saved, with its interval over the same resampled items."""
    a, b = saved(mine, look, mine + other), saved(other, look, mine + other)
    draws = np.random.default_rng(0).integers(len(a), size=(RESAMPLES, len(a)))
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.nanquantile(a[draws].mean(1) / b[draws].mean(1), [0.025, 0.975])
        return f"{a.mean() / b.mean():.2f} ({low:.2f}–{high:.2f})"


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
    """Median executions to the first fix over base-wrong items and seeds, those never fixed counting as infinite."""
    spent = [
        np.inf if cost is None else cost
        for row in rows
        for base, cost in zip(row["base"], row["first_fix"], strict=True)
        if base == 0
    ]
    middle = np.median(spent) if spent else np.inf
    return "never" if np.isinf(middle) else f"{middle:.0f}"


def curves(searches: dict[str, Rows]) -> str:
    """Layers saved, share shortened and share fixed against layer executions, with intervals over items; see DRAWN."""
    row, panels = next(iter(searches.values()))[0], {}
    drawn = {name: searches[name] for name in DRAWN if name in searches} or searches
    looks = [cost / row["num_layers"] for cost in row["grid"]]
    for told, measure in (("layers saved", saved), ("share shortened", shortened), ("share fixed", fixed)):
        bands = {name: band([measure(rows, look) for look in looks]) for name, rows in drawn.items()}
        panels[f"{told}, where the base is {'wrong' if measure is fixed else 'right'}"] = (row["grid"], bands)
    return budget_curves(panels, columns=3)


def band(values: Sequence[np.ndarray]) -> Band:
    """Mean and interval over items at every look, of `[items]` each."""
    return (
        tuple(np.array([bounds(each) for each in values]).T) if len(values[0]) else (np.full(len(values), np.nan),) * 3
    )


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


def looks_of(searches: dict[str, Rows]) -> list[float]:
    """The looks that every row has."""
    most = min(row["chains"] for rows in searches.values() for row in rows)
    return [look for look in SHOWN if look <= most]


def ordered(searches: dict[str, Rows]) -> list[tuple[str, Rows]]:
    """Ours first, the rest by what they saved in the end."""
    last = looks_of(searches)[-1]
    return sorted(searches.items(), key=lambda pair: (pair[0] not in OURS, -float(np.mean(saved(pair[1], last)))))


if __name__ == "__main__":
    main()
