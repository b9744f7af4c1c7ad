"""The table of experiments/held_out.py: per model, task and budget what calibration chose, beside the base and the oracle."""

from collections.abc import Iterator, Sequence
from typing import Any

Row = dict[str, Any]
HEAD = """# Chains without the answer key, on held-out items

`python experiments/held_out.py`. Chains are searched on calibration items; menus of them and selectors that see no label are
chosen there by cross-validation, and counted once on held-out items. Budget and cost are mean layer executions of an item, a
menu's reads of the head beyond the base's one included.

| model | task | budget | menu, selector | cost | held out | minus base (95%) | p | p Holm |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |"""
LEGEND = """
**bold**: chosen on calibration among all arms of that budget, the control apart. *control*: the untouched model with the selector
that calibration chose for it; `chain, chain` is the best single chain as it is. p: exact McNemar test against the base, two-sided;
p Holm: corrected over all arms of the cell that were tried, chosen or not. oracle: the share of items that some chain of the menu
has right, chosen with their answer key. Differences in points; verdicts are the engine's, in bfloat16."""


def page(rows: Sequence[Row]) -> str:
    """The whole page in markdown."""
    cells = sorted(rows, key=lambda row: (row["model"], row["task"]))
    lines = [line for row in cells for line in of_cell(row)]
    return "\n".join([HEAD, *lines, LEGEND, "", *map(made_with, cells)]) + "\n"


def of_cell(row: Row) -> Iterator[str]:
    """The lines of one model and task: the base, then per budget the best single chain, what was chosen, and the oracle."""
    base, layers = row["base"], row["layers"]
    start = f"| {row['model']} | {row['task']} |"
    yield f"{start} {layers} | base | {layers} | {rated(base)} | | | |"
    for budget in sorted({arm["budget"] for arm in row["rows"]}):
        for arm in told(row["rows"], budget):
            yield f"{start} {budget:g} | {named(arm, budget)} | {arm['cost']:g} | {compared(arm, base['of'])} |"
        for best in row["oracle"]:
            if best["budget"] == budget and len(best["chains"]) > 1:
                yield f"{start} {budget:g} | oracle of {len(best['chains'])} chains | | {rated(best)} | | | |"


def told(arms: Sequence[Row], budget: float) -> list[Row]:
    """What anybody would have run within the budget: the best single chain, and what calibration chose."""
    plain = [arm for arm in arms if (arm["menu"], arm["selector"], arm["budget"]) == ("chain", "chain", budget)]
    return [*plain, *(arm for arm in arms if budget in arm["chosen"] and arm not in plain)]


def named(arm: Row, budget: float) -> str:
    """The arm by its menu and selector, marked as the legend says."""
    name = f"{arm['menu']}, {arm['selector']}"
    if arm["menu"] == "base":
        return f"*control: {name}*"
    return f"**{name}**" if budget in arm["chosen"] else name


def compared(arm: Row, items: int) -> str:
    """Accuracy, and the paired difference from the base."""
    low, high = 100 * arm["difference_low"], 100 * arm["difference_high"]
    gap = f"{100 * arm['difference']:+.1f} ({low:+.1f} to {high:+.1f})"
    corrected = probable(arm["p_holm"]) if "p_holm" in arm else ""
    return f"{rated({'count': arm['count'], 'of': items})} | {gap} | {probable(arm['p'])} | {corrected}"


def probable(p: float) -> str:
    """A p value, which rows keep to four places."""
    return f"{p:.2g}" if p else "<0.0001"


def rated(rate: Row) -> str:
    """A rate with its counts."""
    return f"{100 * rate['count'] / rate['of']:.1f}% ({rate['count']}/{rate['of']})"


def made_with(row: Row) -> str:
    """What a cell was measured with."""
    judges = row["cross_validated"]["items"]
    return (
        f"- {row['model']}, {row['task']}: {row['calibration']}, {row['searches']} of them searched with {row['simulations']} "
        f"simulations, {row['chains']} chains kept, {judges} judged the arms; seed {row['seed']}, {row['device']}, commit "
        f"{(row['commit'] or 'unknown')[:8]}."
    )
