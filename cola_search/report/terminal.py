"""The figures as a person reads them in a terminal: tables and short paragraphs."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cola_search.report.console import empty_table, percent, span, wide_console
from cola_search.report.examples import Example
from cola_search.report.probes import PROBE_NAMES, ProbesSummary, ProbeSummary
from cola_search.report.stats import Mean, Rate
from cola_search.report.summary import Summary
from cola_search.shell import LastingConsole

_LONGEST_QUESTION = 300
_LONGEST_ANSWER = 80
_BEST_OF = "Jobs are not corrected for each other: what is best of several is partly luck."


def print_summary(summary: Summary, folder: str, console: Console | None = None) -> None:
    """Prints the result of one run."""
    console = console or LastingConsole()
    console.print(Group(*_parts(summary, folder)))


def print_sweep(jobs: Mapping[str, Mapping[str, Any] | None], folder: str, console: Console | None = None) -> None:
    """Prints a line for each job of a sweep, from what its summary.json holds; None stands for a job that failed.

    What decoys reached stands beside the fixes: of the samples that the base has wrong, both.
    """
    table = _table("job", "base", "oracle", "fixed", "decoy", "shortened", "saved", "samples")
    for name, summary in zip(_what_differs(list(jobs)), jobs.values(), strict=True):
        if summary is None:
            table.add_row(name, Text("failed", style="red"))
            continue
        rates = [summary[key] for key in ("base_accuracy", "found_accuracy_oracle", "fixed")]
        rates += [summary["controls"].get("decoy", {}).get("base_wrong_reached"), summary["shortened"]]
        cells = [f"{percent(rate['rate'])} ({rate['count']}/{rate['of']})" if rate else "-" for rate in rates]
        table.add_row(name, *cells, _number(summary["layers_saved"]["mean"]), str(summary["samples"]))
    told = f"{_BEST_OF} `cola-report {folder}` compares them with intervals."
    wide_console(console).print(table, Text(told if len(jobs) > 1 else "", style="dim"), Text(f"\n{folder}"))


def print_objectives(jobs: Mapping[str, Mapping[str, Any]], folder: str, console: Console | None = None) -> None:
    """Prints what calibration chose in each job of a sweep of objective=dataset or menu, on held-out items."""
    table = _table("job", "chosen", "layers", "base", "held out", "minus base (points, 95%)")
    for name, result in zip(_what_differs(list(jobs)), jobs.values(), strict=True):
        for chosen in _chosen_by(result):
            table.add_row(name, *chosen)
    wide_console(console).print(table, Text(_BEST_OF if len(jobs) > 1 else "", style="dim"), Text(f"\n{folder}"))


def _chosen_by(result: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """What was chosen, its layers, the base's accuracy and its own, and the difference: one line, or one a budget."""
    base = result["base"]
    if "methods" in result:
        rows = [row for row in result["methods"] if row["method"] == result["chosen"]]
        told = [(row["method"], f"{row['length']}", row["held_out"]) for row in rows]
        found = [(name, size, held["accuracy"][0], held["difference"]) for name, size, held in told if held]
        of_base = base["right"] / base["of"] if base["of"] else None
    else:
        rows = [row for row in result["rows"] if row["chosen"] and row["menu"] != "base"]
        spans = [[row[key] for key in ("difference", "difference_low", "difference_high")] for row in rows]
        names = [(f"{row['menu']}, {row['selector']}", f"{row['cost']:.1f}", row["rate"]) for row in rows]
        found = [(*name, span) for name, span in zip(names, spans, strict=True)]
        of_base = base["rate"]
    lines = [(name, size, percent(of_base), percent(rate), span(won)) for name, size, rate, won in found]
    return lines or [("nothing will do", "", percent(of_base), "", "")]


def _what_differs(names: Sequence[str]) -> list[str]:
    """The names of the jobs without the parts that all share; the names as they are if nothing is left of one."""
    shared = set.intersection(*(set(name.split(",")) for name in names)) if names else set()
    short = [",".join(part for part in name.split(",") if part not in shared) for name in names]
    return short if all(short) else list(names)


def _parts(summary: Summary, folder: str) -> list[RenderableType]:
    title = f"\n{summary.task} with {summary.model} ({summary.num_layers} layers): {summary.samples} samples"
    parts: list[RenderableType] = [Text(title, style="bold"), _rates(summary), Text(_legend(summary), style="dim")]
    parts.append(Text(_spread(summary)))
    parts += [Text(f"! {warning}", style="yellow") for warning in summary.warnings]
    if summary.examples:
        parts.append(Text("\nChains that were found (layers are counted from 0, ranges are inclusive)", style="bold"))
    parts += [_example(example, summary.num_layers) for example in summary.examples]
    return [*parts, Text(f"\n{folder}")]


def _rates(summary: Summary) -> Table:
    table = _table("", "rate", "count", "95% interval")
    _add(table, "base accuracy", summary.base_accuracy)
    _add(table, "found accuracy (oracle)", summary.found_accuracy_oracle)
    _add(table, "fixed, where the base is wrong", summary.fixed)
    for name, control in summary.controls.items():
        _add(table, f"  {_CONTROLS.get(name, name)}, same items", control.base_wrong_reached)
        if difference := control.fixed_minus_reached:
            interval = f"{100 * difference.low:+.0f} to {100 * difference.high:+.0f}"
            table.add_row("  fixed minus that", f"{100 * difference.difference:+.0f} pts", "", interval)
    if found := summary.probes.pass_at_k:
        _add(table, f"  pass@{found.k} of the base, same items", found.base_wrong_reached)
    _add(table, "shortened, where the base is right", summary.shortened)
    _add_probes(table, summary.probes)
    _add(table, "verdicts confirmed alone", summary.verification_agreement)
    return table


def _add_probes(table: Table, probes: ProbesSummary) -> None:
    for name, label in PROBE_NAMES.items():
        probe: ProbeSummary | None = getattr(probes, name)
        if probe is None:
            continue
        if not probe.samples:
            table.add_row(label, "-", "not applicable", "")
            continue
        _add(table, label, probe.right)
        if probe.base_right:
            _add(table, "  the base on the same", probe.base_right)


_CONTROLS = {"decoy": "decoy reached", "random": "fixed by random chains"}
_SPENT = {"decoy": "decoys", "random": "random chains, with the same simulations"}


def _legend(summary: Summary) -> str:
    """What the words of the table above mean."""
    lines = [
        "oracle: the chain is chosen with the answer key of the very question.",
        "decoy: the same search sent after a wrong answer; what it reaches is luck."
        if "decoy" in summary.controls
        else "",
        "confirmed alone: one chain, one sample, stock transformers.",
    ]
    return "\n".join(line for line in lines if line)


def _spread(summary: Summary) -> str:
    """The figures that are no rates, a line each."""
    rate, decoy = summary.evaluations_per_second, summary.controls.get("decoy")
    lines = [
        f"layers saved of {summary.num_layers}, where the base is right: {_mean(summary.layers_saved)}",
        f"length of the chains that reached a decoy, base right or wrong: {_mean(decoy.length)}" if decoy else "",
        f"evaluations to the first fix: {_mean(summary.evaluations_to_first_fix)}",
        f"layer executions to the first fix: {_mean(summary.layer_executions_to_first_fix)}",
        f"{summary.evaluations:,} evaluations, {summary.layer_executions:,.0f} layer executions"
        + (f", {rate:,.1f} evaluations per second" if rate else ""),
        "those of controls are not counted, but the time that they took is" if _controlled(summary) else "",
        *(
            f"{_SPENT.get(name, name)}: {control.evaluations:,} evaluations, {control.layer_executions:,.0f} layer executions"
            for name, control in summary.controls.items()
        ),
    ]
    return "\n" + "\n".join(line for line in lines if line) + "\n"


def _controlled(summary: Summary) -> bool:
    return bool(summary.controls) or any(probe is not None for probe in vars(summary.probes).values())


def _mean(mean: Mean) -> str:
    if mean.mean is None:
        return "none"
    if mean.low is None:
        return f"mean {_number(mean.mean)}, no interval: {'a single one' if mean.of == 1 else f'all {mean.of} agree'}"
    interval = f"{_number(mean.low)} to {_number(mean.high)}"
    return f"mean {_number(mean.mean)} (95%: {interval}), median {_number(mean.median)}, n={mean.of}"


def _example(example: Example, num_layers: int) -> Padding:
    question = _cut(example.question, _LONGEST_QUESTION)
    before, gold = (_cut(answer, _LONGEST_ANSWER) for answer in (example.base_answer, example.gold))
    text = Text()
    text.append(f"{example.chain}", style="bold cyan")
    text.append(f"   {example.length} of {num_layers} layers, {'fixed' if example.fixed else 'shortened'}\n")
    text.append(f"{question}\n")
    answers = f"{before} -> {gold}" if example.fixed else gold
    text.append(answers, style="green")
    return Padding(text, (1, 0, 0, 2))


def _cut(text: str, most: int) -> str:
    """The text on one line, with its end left out where it is longer than that."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[:most] + "..."


def _table(*columns: str) -> Table:
    return empty_table(columns, columns[:1], padding=(0, 2, 0, 0), header_style="dim")


def _add(table: Table, name: str, rate: Rate) -> None:
    if rate.rate is None:
        table.add_row(name, "-", f"{rate.count}/{rate.of}", "")
    else:
        interval = f"{percent(rate.low)} to {percent(rate.high)}"
        table.add_row(name, percent(rate.rate), f"{rate.count}/{rate.of}", interval)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"
