"""The table of the Void paper (arxiv.org/abs/2505.14467) and its pictures, from the answers to single items."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from cola_search.report.stats import RESAMPLES, Rate, wilson
from cola_search.report.void_figures import phase_heatmap, usage_curves

Row = dict[str, Any]
"""KEY, `sample`, `correct` (1, 0, or None on an error), and of `pp` and `rg` [tokens, tokens that use layer 0, ...]."""

KEY = ("model", "task", "setup", "how", "alpha", "phases", "change", "as_released")
"""What rows of one measurement share."""

LEGEND = """
Accuracy in percent with Wilson's 95% interval; in brackets behind it the items that skipping lost and won. PP and RG:
percent of the layers that prompt and generated tokens used, with a 95% bootstrap interval over items. `readout` is what
the paper's released code does, `bypass` what its text says. For tasks that score options RG is traced in a greedy answer.
"""


@dataclass(frozen=True)
class Usage:
    """The share of layers that the tokens of a phase used, with a 95% bootstrap interval over items."""

    tokens: int
    used: float
    low: float
    high: float
    by_layer: list[float]


@dataclass(frozen=True)
class Cell:
    """One way to run one model on one task. `errors` are items that could not be judged; `accuracy` leaves them out."""

    model: str
    task: str
    setup: str
    how: str
    alpha: float
    phases: str
    change: str
    as_released: str
    accuracy: Rate
    errors: int
    pp: Usage | None
    rg: Usage | None
    verdicts: dict[str, int | None]

    def usage(self, phase: str) -> Usage | None:
        """That of `pp` or `rg`."""
        return self.pp if phase == "pp" else self.rg

    def as_dict(self) -> dict[str, Any]:
        """Plain data, without the single verdicts."""
        plain = {name: value for name, value in vars(self).items() if name != "verdicts"}
        return {name: vars(value) if isinstance(value, Rate | Usage) else value for name, value in plain.items()}


def summarize(rows: Iterable[Row]) -> list[Cell]:
    """A cell for every measurement among the rows, in order of appearance."""
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in KEY)].append(row)
    return [_cell(key, some) for key, some in groups.items()]


def _cell(key: tuple, rows: Sequence[Row]) -> Cell:
    judged = [row["correct"] for row in rows if row["correct"] is not None]
    pp, rg = (usage_of([row[phase] for row in rows]) for phase in ("pp", "rg"))
    verdicts = {row["sample"]: row["correct"] for row in rows}
    return Cell(
        **dict(zip(KEY, key, strict=True)),
        accuracy=wilson(sum(judged), len(judged)),
        errors=len(rows) - len(judged),
        pp=pp,
        rg=rg,
        verdicts=verdicts,
    )


def usage_of(counts: Sequence[Sequence[int]]) -> Usage | None:
    """The usage over items that each give [tokens, tokens that use layer 0, ...]; None without any token.

    The interval is Efron's percentile bootstrap of the ratio, items drawn with replacement and a fixed seed.
    """
    table = np.array(counts, dtype=float)
    tokens = table[:, 0].sum()
    if not tokens:
        return None
    used, slots = table[:, 1:].sum(axis=1), table[:, 0] * (table.shape[1] - 1)
    weights = np.random.default_rng(0).multinomial(len(table), np.full(len(table), 1 / len(table)), size=RESAMPLES)
    drawn = weights @ slots
    low, high = np.quantile((weights @ used)[drawn > 0] / drawn[drawn > 0], [0.025, 0.975])
    by_layer = (table[:, 1:].sum(axis=0) / tokens).round(4).tolist()
    return Usage(int(tokens), float(used.sum() / slots.sum()), float(low), float(high), by_layer)


def table(cells: Sequence[Cell]) -> str:
    """The paper's table in Markdown: a row a model and way to skip, and for each task no skip, skip, PP and RG."""
    tasks = list(dict.fromkeys(cell.task for cell in cells))
    untouched = {(cell.model, cell.task): cell for cell in cells if cell.how == "none"}
    lines: dict[tuple[str, str, float], dict[str, Cell]] = defaultdict(dict)
    for cell in cells:
        if cell.how != "none":
            lines[cell.model, cell.how, cell.alpha][cell.task] = cell
    parts = ("no skip", "skip", "PP", "RG")
    head = ["model", "skip", "alpha", *(f"{task}: {part}" for task in tasks for part in parts)]
    rows = [head, ["---"] * len(head)]
    for (model, how, alpha), by_task in sorted(lines.items(), key=lambda line: (line[0][1], line[0][2])):
        row = [model, how, f"{alpha:g}"]
        for task in tasks:
            base, skip = untouched.get((model, task)), by_task.get(task)
            row += [_accuracy(base), _accuracy(skip) + _flips(base, skip), _share(skip, "pp"), _share(skip, "rg")]
        rows.append(row)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _accuracy(cell: Cell | None) -> str:
    if cell is None or cell.accuracy.rate is None or cell.accuracy.low is None or cell.accuracy.high is None:
        return "–"
    rate = cell.accuracy
    return f"{100 * rate.rate:.1f} ({100 * rate.low:.1f}–{100 * rate.high:.1f})"  # type: ignore[operator]


def _flips(base: Cell | None, skip: Cell | None) -> str:
    """How many items were right and are no longer, and the other way round."""
    if base is None or skip is None:
        return ""
    pairs = [(base.verdicts.get(name), verdict) for name, verdict in skip.verdicts.items()]
    return f" [−{pairs.count((1, 0))} +{pairs.count((0, 1))}]"


def _share(cell: Cell | None, phase: str) -> str:
    usage = cell and cell.usage(phase)
    return f"{100 * usage.used:.0f} ({100 * usage.low:.0f}–{100 * usage.high:.0f})" if usage else "–"


def pictures(cells: Sequence[Cell]) -> dict[str, str]:
    """SVG images by name: per way to skip, usage against alpha, and layers by phase at the alpha nearest to 0.8."""
    drawn: dict[str, str] = {}
    for how in ("readout", "bypass"):
        some = [cell for cell in cells if cell.how == how]
        if not some:
            continue
        nearest = min((cell.alpha for cell in some), key=lambda alpha: abs(alpha - 0.8))
        curves: dict[str, list[tuple[float, float]]] = defaultdict(list)
        heat: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
        for cell, phase in product(some, ("pp", "rg")):
            if usage := cell.usage(phase):
                curves[f"{cell.model} {cell.task} {phase.upper()}"].append((cell.alpha, usage.used))
                if cell.alpha == nearest:
                    heat[cell.model][f"{cell.task} {phase.upper()}"] = np.array(usage.by_layer)
        drawn[f"{how}_alpha"] = usage_curves(curves, f"Layers used, {how}")
        for model, rows in heat.items():
            title = f"{model}: share of tokens that use each layer, {how}, alpha {nearest:g}"
            drawn[f"{how}_{_file_name(model)}"] = phase_heatmap(rows, title)
    return drawn


def _file_name(model: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in model)
