"""The tables and curves of experiments/results/search_quality_*.jsonl, in markdown and SVG beside them.

python experiments/quality_tables.py
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from cells import RESULTS, read_rows
from quality_measures import Rows, against_decoy, bounds, first_fix, fixed, interval, saved, shortened
from quality_summary import Key, summary

from cola_search.report.budget_curves import Band, budget_curves

OURS = ("edits", "edits+learnt", "partial")
# What the curves show, for more cannot be told apart; the tables have them all.
DRAWN = ("edits", "hill_climbing", "hill_climbing_learning", "drllm_released", "random", "cola", "repolar")
SHOWN = (2, 5, 10, 20, 50, 200)  # runs of the whole model at which the tables look


def main() -> None:
    """Writes search_quality.md and one SVG a model and task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=RESULTS, help="with a search_quality_MODEL_TASK.jsonl each")
    folder = parser.parse_args().folder
    groups: dict[Key, dict[str, Rows]] = defaultdict(lambda: defaultdict(list))
    for row in (row for path in sorted(folder.glob("search_quality_*.jsonl")) for row in read_rows(path)):
        seeds = groups[row["model"], row["task"], row["first"], row["items"], row["chains"]][row["search"]]
        if row["seed"] in [other["seed"] for other in seeds]:  # as with another --in-flight; it would count as two
            raise SystemExit(
                f"seed {row['seed']} of {row['search']} on {row['task']}, {row['model']}, has two rows: take one out."
            )
        seeds.append(row)
    parts = [HEAD, *summary(groups)]
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
    return [told, *saved_table(known), f"\nFirst fix, median: {', '.join(fixes)}."]


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
