"""The result of objective=dataset as a person reads it in a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cola_search.report.console import empty_table, p_value, percent, span, wide_console

_COLUMNS = (
    "method", "chain", "length", "chosen on", "held out", "minus base (95%)", "p", "p Holm", "search", "cost",
)  # fmt: skip


def print_dataset(result: Mapping[str, Any], folder: str, console: Console | None = None) -> None:
    """Prints the table of methods on held-out items, and what was chosen."""
    console = wide_console(console)
    base, items = result["base"], result["items"]
    rate = base["right"] / base["of"] if base["of"] else None
    title = f"\n{result['task']} with {result['model']} ({result['layers']} layers), one chain, goal: {result['goal']}"
    console.print(Text(title, style="bold"))
    console.print(Text(f"searched on {items['search']} and chosen on {items['selection']} ({result['calibration']})"))
    console.print(Text(f"base on {base['of']} held-out items: {percent(rate, 1)}{_levels(base)}"))
    console.print(_table(result), Text(_legend(result), style="dim"))
    console.print(Text(_conclusion(result)), Text(f"\n{folder}"))


def _table(result: Mapping[str, Any]) -> Table:
    table = empty_table(_COLUMNS, left=("method", "chain"))
    for row in result["methods"]:
        cost = f"{row['search_layer_executions']:,}", f"{row['layer_executions']:,}"
        if row["chain"] is None:
            table.add_row(row["method"], "no chain will do", "", "", "", "", "", "", *cost)
            continue
        chosen, told = row["selection"], row["held_out"]
        table.add_row(
            f"{row['method']} *" if row["method"] == result["chosen"] else row["method"],
            row["chain"],
            str(row["length"]),
            f"{100 * chosen['difference'][0]:+.1f}",
            percent(told["accuracy"][0], 1),
            span(told["difference"]),
            p_value(told["p_not_worse" if result["goal"] == "shorter" else "p_better"]),
            p_value(told["p_holm"]),
            *cost,
        )
    return table


def _conclusion(result: Mapping[str, Any]) -> str:
    row = next((row for row in result["methods"] if row["method"] == result["chosen"]), None)
    if row is None:
        return _nothing(result)
    told, saved = row["held_out"], 1 - row["length"] / result["layers"]
    holds = told["p_holm"] < 0.05
    claim = (
        f"not worse than the base by {_margin(result)}"
        if result["goal"] == "shorter"
        else "more accurate than the base"
    )
    return (
        f"{row['method']}: {row['length']} of {result['layers']} layers ({saved:.0%} fewer); "
        f"{'' if holds else 'not shown to be '}{claim} on {told['n']} held-out items."
    )


def _nothing(result: Mapping[str, Any]) -> str:
    wanted = f"not worse by {_margin(result)}" if result["goal"] == "shorter" else "more accurate than the base"
    return (
        f"No method found a chain that {result['items']['selection']} selection items show to be {wanted}: take the model as it "
        "is, or raise objective.items if the task has more."
    )


def _legend(result: Mapping[str, Any]) -> str:
    if result["goal"] == "shorter":
        test = f"p: against worse by {_margin(result)} (Tango's score test, one-sided)"
    else:
        test = "p: against not more accurate than the base (exact McNemar test, one-sided)"
    return (
        f"{test}; corrected by Holm.\nchosen on: minus base on the selection items; `shorter` chooses the shortest finalist that "
        "these show to be not worse, `better` the most accurate that they show to gain, corrected over the finalists. search: "
        "layer executions of the search, at most those of the tree's; cost: of search and choice. *: chosen, corrected over "
        "those of all methods."
    )


def _margin(result: Mapping[str, Any]) -> str:
    return f"{100 * result['margin']:g} points or more"


def _levels(base: Mapping[str, Any]) -> str:
    named = {name: base[name] for name in ("chance", "majority") if base[name] is not None}
    return f" ({', '.join(f'{name} {percent(value, 1)}' for name, value in named.items())})" if named else ""
