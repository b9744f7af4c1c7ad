"""The first tables of search_quality.md: the default search beside its rivals, over all models and tasks."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from quality_measures import Rows, against_decoy, executions, first_fix, fixed, interval, more_fixed, ratio, saved

Key = tuple[str, str, int, int, int]  # model, task, first item, items, runs
Groups = Mapping[Key, Mapping[str, Rows]]
DEFAULT, TAUGHT = "edits", "edits+learnt"
LOCAL = ("random", "hill_climbing", "hill_climbing_cheap", "hill_climbing_learning")
PUBLISHED = ("cola", "drllm", "drllm_released", "repolar")

HEAD = """
## The default search (`edits`) beside the others

Layers saved, and how many times those of each rival, at half of the budget and at its end. `best`: the published search that had
saved most by then. Ratios are over the items on whose base both searches agree; none is corrected for the number of cells.
"""
FIXES = """
Share fixed at the end of the budget, less that of each rival (won, lost: items with a fix in more or fewer seeds), and less that of
its decoys (seed 0). First fix: the median in layer executions, and that of the soonest rival that nothing taught.
"""
LESSONS = """
## Taught by other items (`edits+learnt`) beside the default

The seeds that both have; of two figures the first is the default's. Ratios are of layers saved at the end, taught over default and
over `hill_climbing_cheap`, which nothing can teach.
"""
TAUGHT_HEAD = (
    "model", "task", "seeds", "saved at 2", "at 5", "at the end", "ratio", "over the climbing", "fixed", "more fixed",
    "first fix", "decoys",
)  # fmt: skip


def summary(groups: Groups) -> list[str]:
    """What the default saves and fixes beside its rivals, and what lessons of other items add, in markdown."""
    known = {key: searches for key, searches in sorted(groups.items()) if DEFAULT in searches and "random" in searches}
    saved_rows = [
        [*key[:2], str(look), *savings(searches, look)]
        for key, searches in known.items()
        for look in (key[-1] // 2, key[-1])
    ]
    fixed_rows = [[*key[:2], str(key[-1]), *fixes(searches, key[-1])] for key, searches in known.items()]
    taught_rows = [[*key[:2], *lessons(searches, key[-1])] for key, searches in known.items() if TAUGHT in searches]
    rivals = (*LOCAL, "best")
    return [
        HEAD,
        *table(["model", "task", "runs", "seeds", "layers saved", *rivals], saved_rows),
        FIXES,
        *table(["model", "task", "runs", "fixed", *rivals, "first fix", "decoys", "fixed − decoys"], fixed_rows),
        LESSONS,
        *table(TAUGHT_HEAD, taught_rows),
    ]


def savings(searches: Mapping[str, Rows], look: int) -> list[str]:
    """Seeds and layers saved of the default, and its ratio to each rival."""
    mine = searches[DEFAULT]
    best = best_published(searches, look)
    ratios = {name: ratio(mine, searches[name], look) for name in (*LOCAL, best) if name in searches}
    return [str(len(mine)), interval(saved(mine, look), "{:.1f}"), *cells_of(ratios, best)]


def fixes(searches: Mapping[str, Rows], look: int) -> list[str]:
    """The share fixed by the default, less that of each rival and of its decoys, and how soon the first fix came."""
    mine = searches[DEFAULT]
    best = best_published(searches, look)
    less = {name: more_fixed(mine, searches[name], look) for name in (*LOCAL, best) if name in searches}
    soonest = min((rows for name, rows in searches.items() if name not in (DEFAULT, TAUGHT)), key=executions)
    decoys, above, *_ = against_decoy(mine)
    return [
        interval(fixed(mine, look), "{:.2f}"), *cells_of(less, best), f"{first_fix(mine)}, {first_fix(soonest)}", decoys, above,
    ]  # fmt: skip


def lessons(searches: Mapping[str, Rows], look: int) -> list[str]:
    """The taught search and the default, each as `default, taught`, and the difference."""
    default, taught = searches[DEFAULT], searches[TAUGHT]
    shared = {row["seed"] for row in default} & {row["seed"] for row in taught}
    pair = [[row for row in rows if row["seed"] in shared] for rows in (default, taught)]
    cheap = searches.get("hill_climbing_cheap")
    return [
        str(len(shared)),
        *(", ".join(f"{np.mean(saved(rows, at)):.1f}" for rows in pair) for at in (2, 5, look)),
        ratio(pair[1], pair[0], look),
        ratio(pair[1], cheap, look) if cheap else "",
        ", ".join(f"{np.mean(fixed(rows, look)):.2f}" for rows in pair),
        more_fixed(pair[1], pair[0], look),
        ", ".join(first_fix(rows) for rows in pair),
        ", ".join(against_decoy(rows)[0] for rows in pair),
    ]


def best_published(searches: Mapping[str, Rows], look: int) -> str:
    """The published search that saved most by then; "" where there is none."""
    known = [name for name in PUBLISHED if name in searches]
    return max(known, key=lambda name: float(np.mean(saved(searches[name], look))), default="")


def cells_of(values: Mapping[str, str], best: str) -> list[str]:
    """One text a rival, the best published one by name."""
    return [*(values.get(name, "") for name in LOCAL), f"`{best}` {values[best]}" if best else ""]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table in markdown."""
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
