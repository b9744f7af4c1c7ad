"""The result of objective=menu as a person reads it in a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cola_search.report.console import empty_table, p_value, percent, span, wide_console

_COLUMNS = (
    "menu", "selector", "budget", "chosen on", "held out", "cost", "minus base (95%)", "p", "p Holm", "chains",
)  # fmt: skip

_SHOWN = 4  # arms of each budget, by their accuracy on calibration


def print_menu(result: Mapping[str, Any], folder: str, console: Console | None = None) -> None:
    """Prints what the best arms on calibration are worth on held-out items, beside the base and the oracle."""
    console = wide_console(console)
    base, counts = result["base"], result["counts"]
    console.print(Text(f"\n{result['task']} with {result['model']} ({result['layers']} layers), a menu", style="bold"))
    console.print(
        Text(f"chosen on {counts['calibration']} items ({result['calibration']}) out of {result['chains']} chains")
    )
    console.print(Text(f"cross-validated on {_judged(result['cross_validated'])}"))
    console.print(Text(f"base on {base['of']} held-out items: {percent(base['rate'], 1)}, cost {result['layers']}"))
    console.print(_table(result), Text(_LEGEND, style="dim"), Text(_conclusion(result)), Text(folder), sep="\n")


def _judged(crossed: Mapping[str, Any]) -> str:
    if crossed["unseen"]:
        return f"{crossed['items']} of them, on which no chain was found"
    return f"all {crossed['items']}, also those on which chains were found: optimistic for these"


def _table(result: Mapping[str, Any]) -> Table:
    table = empty_table(_COLUMNS, left=("menu", "selector", "chains"))
    for row in _shown(result):
        star = " *" if row["chosen"] else ""
        p_holm = p_value(row["p_holm"]) if "p_holm" in row else ""
        table.add_row(
            row["menu"],
            row["selector"] + star,
            f"{row['budget']:g}",
            percent(row["calibration"], 1),
            percent(row["rate"], 1),
            f"{row['cost']:g}",
            span([row[key] for key in ("difference", "difference_low", "difference_high")]),
            p_value(row["p"]),
            p_holm,
            ", ".join(row["chains"]),
        )
    for row in result["oracle"]:
        chains = ", ".join(row["chains"])
        table.add_row(row["menu"], "oracle", f"{row['budget']:g}", "", percent(row["rate"], 1), "", "", "", "", chains)
    return table


def _shown(result: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The controls, and of each budget the arms that are best on calibration."""
    rows = [row for row in result["rows"] if row["chains"]]
    yield from (row for row in rows if row["menu"] == "base")
    for budget in sorted({row["budget"] for row in rows}):
        some = [row for row in rows if row["budget"] == budget and row["menu"] != "base"]
        best = sorted(some, key=lambda row: (not row["chosen"], -row["calibration"], row["cost"]))
        yield from best[:_SHOWN]


def _conclusion(result: Mapping[str, Any]) -> str:
    chosen = result["chosen"]
    if chosen is None:
        return "No menu fits the budget."
    row = next(row for row in result["rows"] if all(row[key] == chosen[key] for key in ("menu", "selector", "budget")))
    holds = row["p"] < 0.05 and row["difference"] > 0
    claim = (
        f"Calibration chooses {row['menu']} with {row['selector']}: {100 * row['difference']:+.1f} points at a cost of "
        f"{row['cost']:g} layer executions (base {result['layers']}), "
        f"{'' if holds else 'not shown to be '}more accurate than the base (p {p_value(row['p'])}, that one test alone)."
    )
    return " ".join([claim, *_beside_control(row, result)])


def _beside_control(row: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[str]:
    """How the chosen arm stands to the untouched model with the selector that calibration chose for it, if that is not the base
    as it is: what weights fitted to the model's own scores gain is no gain of a menu."""
    control = next((each for each in result["rows"] if each["menu"] == "base" and each["chosen"]), None)
    if control is None or control["selector"] == "chain":
        return
    gain = row["rate"] - control["rate"]
    shown = "less" if gain < 0 else "more"
    holds = row["p_control"] < 0.05 and gain != 0
    yield (
        f"The untouched model alone with {control['selector']}, which calibration chooses for it, is at "
        f"{100 * control['difference']:+.1f}: the menu is {100 * gain:+.1f} points from that, "
        f"{'' if holds else 'not shown to be '}{shown if holds else 'more'} accurate (p {p_value(row['p_control'])})."
    )


_LEGEND = (
    "chosen on: cross-validated accuracy on calibration. p: exact McNemar test against the base, two-sided; Holm over all\n"
    "arms tried. base: the untouched model alone with the same selector. cost: layer executions, and the reads of the\n"
    "head beyond the base's one in such (see head_cost). oracle: uses the answer key. *: what calibration\n"
    "chooses within a budget of the table, and among the rows of the base."
)
