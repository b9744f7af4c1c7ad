"""The page of experiments/papers.py: our rows beside the papers' own figures."""

import json
from collections.abc import Iterable, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cola_search.objective.paired import pair
from cola_search.report.stats import Rate, wilson

Row = dict[str, Any]
ARC = ["cola_arc_easy", "cola_arc_challenge"]
# By Dr.LLM's prompt for base models: by PoLar's SmolLM2 and Gemma are right on 0 of 200 items of every level (base_accuracy.md).
MATH = [f"dart_math_{level}_drllm_base" for level in range(1, 6)]
ALL_LEVELS = "MATH, all levels"
SHOWN = {task: f"MATH level {level}" for level, task in enumerate(MATH, start=1)}
# CoLa (arxiv.org/abs/2507.07996), Table 1, in percent, of ARC and MATH: original, skip only, recurrence only, CoLa.
COLA = {
    "Llama-3.2-3B": [
        [27.8, 20.8, 7.0, 5.4, 3.0, 2.6, 1.4],
        [75.4, 75.6, 27.8, 18.4, 18.4, 13.0, 8.2],
        [65.4, 54.8, 26.6, 16.8, 11.2, 8.2, 5.0],
        [95.8, 98.2, 63.6, 46.8, 34.8, 26.0, 25.6],
    ],
    "Llama-3.2-3B-Instruct": [
        [39.8, 37.4, 13.0, 7.4, 5.8, 9.8, 14.4],
        [86.8, 86.6, 30.2, 22.2, 19.6, 16.2, 13.2],
        [76.2, 72.6, 40.6, 25.2, 21.0, 18.2, 23.8],
        [95.8, 98.2, 81.0, 64.0, 47.6, 42.4, 44.0],
    ],
}
# Void in Language Models (arxiv.org/abs/2505.14467, abstract): accuracy without and with skipping, PP% and RG% of layers used;
# which phase the 30% of Qwen2.5 are of it does not say.
VOID = [
    "| Qwen2.5-7B-Instruct, MMLU (paper) | 69.24 | 71.29 | 30%, of PP or RG or both | |",
    "| Mistral-7B-Instruct-v0.3, GPQA Diamond (paper) | 13.88 | 18.36 | 70% | 70% |",
]
HEAD = """# The two papers, on small models

`python experiments/papers.py` and `python experiments/voids.py`. Every accuracy that a search reaches uses the gold answer of
the item itself (oracle): it says that a chain exists, not that anybody could have chosen it.

## CoLa: accuracy when the best chain of 200 simulations is chosen by the gold answer

Accuracy in percent with counts and 95% Wilson interval; depth: mean length of the shortest right chain over the items that have
one, in percent of the model's layers. Spaces were searched on the first so many items, `original` is over the most of them. The
paper's rows have 500 items each and larger models; its prompts were not published (ours: options as letters, MATH by Dr.LLM's
for base models).
"""


def page(rows: list[Row], voids: Sequence[Path]) -> str:
    """The whole page in markdown."""
    rows = largest(part for row in rows if "base" in row for part in by_task(row))
    parts = [HEAD, *table_1([*rows, *all_levels(rows)]), "", FINDINGS, *findings(rows), "", *void_part(voids)]
    return "\n".join(parts) + "\n"


def by_task(row: Row) -> Iterable[Row]:
    """A row a task: a cell may hold several, one behind the other."""
    start = 0
    for task, size in row.get("parts", {row["task"]: row["n"]}).items():
        stop = start + size
        decoy = {str(int(i) - start): length for i, length in row["decoy"].items() if start <= int(i) < stop}
        lists = {name: row[name][start:stop] for name in ("base", "shortest", "random")}
        yield {**row, "task": task, "n": size, **lists, "decoy": decoy}
        start = stop


def all_levels(rows: Sequence[Row]) -> Iterable[Row]:
    """The levels of MATH of a model and arm as one row."""
    known = sorted((row for row in rows if row["task"] in MATH), key=lambda row: (row["model"], row["arm"]))
    for _, group in groupby(known, key=lambda row: (row["model"], row["arm"])):
        levels = list(group)
        lists = {name: [one for row in levels for one in row[name]] for name in ("base", "shortest")}
        yield {**levels[0], "task": ALL_LEVELS, "n": len(lists["base"]), **lists}


def largest(rows: Iterable[Row]) -> list[Row]:
    """One row a model, task and arm: that with most items."""
    best: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        key = row["model"], row["task"], row["arm"]
        best[key] = max(best.get(key, row), row, key=lambda each: each["n"])
    return list(best.values())


def table_1(rows: list[Row]) -> Iterable[str]:
    """CoLa's Table 1: a line a model and arm, a column a task."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    yield "| model | space | " + " | ".join(SHOWN.get(task, task) for task in tasks) + " |"
    yield "| --- | --- |" + " --- |" * len(tasks)
    for model in dict.fromkeys(row["model"] for row in rows):
        known = {(row["task"], row["arm"]): row for row in rows if row["model"] == model}
        asked = [[row for (t, _), row in known.items() if t == task] for task in tasks]
        bases = [max(some, key=lambda row: row["n"], default=None) for some in asked]
        yield f"| {model} | original | " + " | ".join(percent(row["base"] if row else None) for row in bases) + " |"
        for arm in ("skip only", "repeat only", "both"):
            cells = [known.get((task, arm)) for task in tasks]
            yield f"| {model} | {arm} | " + " | ".join(reached(row) for row in cells) + " |"
    for model, table in COLA.items():
        for space, line in zip(("original", "skip only", "repeat only", "both"), table, strict=True):
            values = dict(zip([*ARC, *MATH], line, strict=True))
            yield f"| {model} (paper) | {space} | " + " | ".join(str(values.get(task, "-")) for task in tasks) + " |"


def percent(verdicts: Sequence[int | None] | None) -> str:
    """A rate in percent with its counts and interval; an item without a verdict (None) is left out."""
    right = [verdict for verdict in verdicts or () if verdict is not None]
    if not right:
        return "-"
    return rated(wilson(sum(right), len(right)))


def rated(rate: Rate) -> str:
    """In percent, with counts and interval."""
    return f"{100 * rate.count / rate.of:.1f} ({rate.count}/{rate.of}, {100 * (rate.low or 0):.0f}–{100 * (rate.high or 0):.0f})"


def reached(row: Row | None) -> str:
    """Accuracy with the best chain, and its mean depth."""
    if row is None:
        return "-"
    lengths = [length for length in row["shortest"] if length]
    depth = f", depth {100 * np.mean(lengths) / row['num_layers']:.0f}%" if lengths else ""
    return percent([int(length > 0) for length in row["shortest"]]) + depth


FINDINGS = """
## CoLa's two findings, and what luck reaches

The paper: a shorter chain exists for more than 75% of the items that the model has right, and a right chain for more than 60%
of those it has wrong. Beside each stand random chains (as many, of the same space, inside the same caps) and the decoy: the
same search sent after a wrong answer that the model did not give. Fixes, random chains and decoys of items that the base has
wrong are over those that have a decoy, and the difference is paired. A fix that does not stand above its decoy is what any
answer would have got.

| model | task | base right: shorter chain | random | base wrong: fixed | random | decoy | fixed − decoy | verdict |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


def findings(rows: list[Row]) -> Iterable[str]:
    """One line a model and task: both findings with their controls, of the search over both kinds of edit; then one over all
    levels of MATH and one over all items of the model."""
    joint = sorted((row for row in rows if row["arm"] == "both"), key=lambda row: row["model"])
    for model, group in groupby(joint, key=lambda row: row["model"]):
        found = {row["task"]: hits_of(row) for row in group}
        for task, hits in found.items():
            yield finding(model, SHOWN.get(task, task), hits)
        if levels := [hits for task, hits in found.items() if task in MATH]:
            yield finding(model, ALL_LEVELS, pooled(levels))
        if len(found) > 1:
            yield finding(model, f"all {len(found)}", pooled(list(found.values())))


class Hits(NamedTuple):
    """Per item of one kind whether something was reached: of those that the base has right a shorter chain, by the search and
    by random chains; of those that it has wrong and that have a decoy a fix, by both, and the decoy."""

    shorter: list[bool]
    luck_shorter: list[bool]
    fixed: list[bool]
    luck_fixed: list[bool]
    decoys: list[bool]


def hits_of(row: Row) -> Hits:
    """The hits of one cell."""
    right = [i for i, base in enumerate(row["base"]) if base]
    wrong = [int(i) for i in row["decoy"] if row["base"][int(i)] == 0]
    shorter, luck_shorter = ([0 < row[kind][i] < row["num_layers"] for i in right] for kind in ("shortest", "random"))
    fixed, luck_fixed = ([row[kind][i] > 0 for i in wrong] for kind in ("shortest", "random"))
    return Hits(shorter, luck_shorter, fixed, luck_fixed, [row["decoy"][str(i)] > 0 for i in wrong])


def pooled(several: Sequence[Hits]) -> Hits:
    """Those of several tasks as of one."""
    return Hits(*(list(chain.from_iterable(parts)) for parts in zip(*several, strict=True)))


def finding(model: str, task: str, hits: Hits) -> str:
    """A line of the table of findings."""
    return f"| {model} | {task} | {' | '.join(map(counts, hits))} | {against(hits.decoys, hits.fixed)} |"


def against(decoys: list[bool], fixed: list[bool]) -> str:
    """Fixed minus decoy over the same items, with its 95% interval (Tango's), and what that says: two cells."""
    if not decoys:
        return "- | -"
    gap = pair(decoys, fixed)
    low, high = gap.interval()
    return f"{gap.difference:+.2f} ({low:+.2f} to {high:+.2f}) | {'' if low > 0 else 'not '}above its decoy"


def counts(hits: list[bool]) -> str:
    return f"{sum(hits)}/{len(hits)}" if hits else "-"


def void_part(paths: Sequence[Path]) -> Iterable[str]:
    """The Void table at the paper's alpha of 0.8, of all the files that voids.py left."""
    yield "## Void: accuracy with and without the layers that LAC calls void (alpha 0.8)\n"
    if not paths:
        yield "`python experiments/voids.py` has not run."
        return
    yield "| model, task, way to skip | accuracy, no skip | skip | PP layers | RG layers |"
    yield "| --- | --- | --- | --- | --- |"
    cells = [cell for path in paths for cell in json.loads(path.read_text())["cells"]]
    base = {(cell["model"], cell["task"]): cell for cell in cells if cell["how"] == "none"}
    for cell in cells:
        if cell["how"] == "none" or cell["alpha"] != 0.8:
            continue
        none = base[cell["model"], cell["task"]]
        shown = " | ".join(rated(wilson(each["accuracy"]["count"], each["accuracy"]["of"])) for each in (none, cell))
        used = " | ".join(f"{100 * cell[phase]['used']:.0f}%" if cell[phase] else "-" for phase in ("pp", "rg"))
        yield f"| {cell['model']}, {cell['task']}, {cell['how']} | {shown} | {used} |"
    yield from VOID
