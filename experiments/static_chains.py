"""One chain for a whole task: can it be shorter and not worse, or better at no more cost, on items that nobody looked at?

A cell is one method on one task with one model, goal and seed. It searches on one part of the calibration items (the train
split where there is one), chooses on the other, and is scored once on the held-out items: the choice, and every finalist, so
that the whole front of accuracy against length is there. The searches of all methods have the same limit, in runs of the
whole model over one item (--runs); the choice among what they found comes on top and is reported beside it, the held-out items are
not counted. A comparison is kept as [items, base right, gained, lost].

    python experiments/static_chains.py --models smollm2 qwen25_coder_05b --tasks arc_easy piqa commonsense_qa_cloze boolq \
        social_iqa hellaswag --goals shorter better --runs 30000 --processes 4 --threads 1
"""

from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from cells import Cell, arguments, engine_of, model_of, read_rows, run_cells

from cola_search.chain import Chain
from cola_search.config import compose_settings
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.precision import dtype_name
from cola_search.objective.dataset import Chosen, Contest, Verdict, check_sizes, choose, winner
from cola_search.objective.items import split_items
from cola_search.objective.methods import METHODS
from cola_search.objective.paired import Paired, holm
from cola_search.objective_settings import ObjectiveSettings
from cola_search.settings import Settings

Row = dict[str, Any]
GROUP = ("model", "task", "goal", "items", "seed")  # what the methods are compared within
MARGIN = 0.02
IN_FLIGHT = {"cuda": 2048, "cpu": 128}  # samples that stay open, best all of a board: opening one costs some chains


def main() -> None:
    """Measures what is missing and writes the table beside the rows."""
    parser = arguments(__doc__, "static_chains.jsonl")
    parser.add_argument("--models", nargs="+", default=["smollm2", "qwen25_coder_05b"])
    parser.add_argument("--tasks", nargs="+", default=["arc_easy", "piqa", "commonsense_qa_cloze", "boolq"])
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--goals", nargs="+", default=["shorter", "better"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--items", type=int, default=4000, help="calibration items at most")
    parser.add_argument("--held-out", type=int, default=2400, help="held-out items at most")
    parser.add_argument("--margin", type=float, default=MARGIN)
    parser.add_argument(
        "--runs", type=int, default=30000, help="limit of a search, in runs of the whole model over an item"
    )
    args = parser.parse_args()
    run_cells(cells(args), work, args)
    if rows := read_rows(args.out):  # with the cells of other commands
        args.out.with_suffix(".md").write_text(table(rows))


def cells(args: Namespace) -> list[Cell]:
    """The cells that the arguments ask for; methods of one task stand together. A single repeat is never shorter."""
    names = ("model", "task", "goal", "seed", "method")
    budget = {"items": args.items, "held_out": args.held_out, "margin": args.margin, "runs": args.runs}
    made = product(args.models, args.tasks, args.goals, range(args.seeds), args.methods)
    named = [dict(zip(names, values, strict=True)) for values in made]
    return [{**cell, **budget} for cell in named if cell["method"] != "repeat" or cell["goal"] == "better"]


def settings_of(cell: Cell, engine: EngineSettings) -> Settings:
    """The settings of a run of objective=dataset with the cell's sizes."""
    settings = compose_settings(
        [f"model='{cell['model']}'", f"task='{cell['task']}'", "objective=dataset", "search=edits"]
    )
    objective = replace(
        settings.objective,
        goal=cell["goal"],
        items=cell["items"],
        held_out=cell["held_out"],
        margin=cell["margin"],
    )
    search = replace(settings.search, simulations=100_000, wave=32)
    return replace(settings, objective=objective, engine=engine, search=search, seed=cell["seed"])


def work(cell: Cell) -> Row:
    """One method from search to held-out items."""
    model = model_of(cell["model"])
    settings = settings_of(cell, engine_of(model, IN_FLIGHT[model.device.type]))
    items = split_items(settings.objective, settings.task, model, settings.seed)
    check_sizes(items, settings.objective)
    contest = Contest(settings, model, items)
    budget = float(cell["runs"] * model.num_layers)
    chosen = contest.reveal(contest.enter(cell["method"], budget), front=True)
    right, of = contest.base_counts()
    return {
        "layers": model.num_layers,
        "dtype": dtype_name(model.hf.dtype),
        "calibration": items.source,
        "base": [right, of],
        "chance": items.task.chance,
        "majority": items.task.majority,
        "front": [_verdict(verdict) for verdict in chosen.finalists],
        "evaluations": chosen.evaluations,
        "search_layer_executions": round(chosen.search_layer_executions),
        "layer_executions": round(chosen.layer_executions),
    }


def _verdict(verdict: Verdict) -> Row:
    sets = {"search": verdict.search, "selection": verdict.selection, "held_out": verdict.held_out}
    counts = {name: [p.n, p.base_right, p.gained, p.lost] for name, p in sets.items() if p is not None}
    return {"chain": str(verdict.chain), "length": len(verdict.chain), **counts}


def table(rows: Sequence[Row]) -> str:
    """Markdown: a line a method, in groups of model, task and goal; * marks the method that calibration chose."""
    lines = [
        "| model | task | goal | chosen on | method | layers | held out: base | chain | minus base (95%) | p | p Holm "
        "| runs of search | runs spent |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    groups = grouped(rows)
    for group in groups:
        lines += _lines(group)
    return "\n".join([*lines, "", *_notes(groups)]) + "\n"


def grouped(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows whose methods are compared with each other, in the order in which a group first comes.

    Their choices are by today's rule: a row keeps every finalist, so that one from before a change of the rule holds still.
    """
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        choice = choose([as_chosen(verdict) for verdict in row["front"]], _objective(row))
        groups[tuple(row[key] for key in GROUP)].append({**row, "choice": choice and str(choice.chain)})
    return list(groups.values())


def as_chosen(verdict: Row) -> Verdict:
    """As it was on the calibration items."""
    return Verdict(Chain.parse(verdict["chain"]), Paired(*verdict["search"]), Paired(*verdict["selection"]))


def _objective(row: Row) -> ObjectiveSettings:
    return ObjectiveSettings(goal=row["goal"], margin=row["margin"])


def _lines(group: Sequence[Row]) -> Iterator[str]:
    best = winning(group)
    group = [row if best is None or row["method"] != best["method"] else best for row in group]
    tested = [row for row in group if row["choice"] is not None]
    corrected = dict(zip(map(id, tested), holm([_p(row) for row in tested]), strict=True))
    for row in group:
        right, of = row["base"]
        name = f"**{row['method']}** *" if row is best else row["method"]
        head = f"| {row['model']} | {row['task']} | {row['goal']} | {_selection(row)} | {name} "
        spent = f"{_runs(row, 'search_layer_executions')} | {_runs(row, 'layer_executions')} |"
        if row["choice"] is None:
            yield f"{head}| none will do | {right / of:.1%} of {of} | | | | | {spent}"
            continue
        paired = held_out(row)
        yield (
            f"{head}| {len(Chain.parse(row['choice']))} of {row['layers']} | {right / of:.1%} of {of} "
            f"| {paired.right / paired.n:.1%} | {difference(paired)} | {_p(row):.3f} | {corrected[id(row)]:.3f} | {spent}"
        )


def _selection(row: Row) -> str:
    """How many items decided between the finalists; blank where a search has none."""
    return str(row["front"][0]["selection"][0]) if row["front"] else ""


def _runs(row: Row, key: str) -> str:
    """In runs of the whole model; blank where a row is older than the key."""
    return f"{row[key] / row['layers']:,.0f}" if key in row else ""


def _notes(groups: Sequence[Sequence[Row]]) -> list[str]:
    """What the rows mean, and how many groups reach the goals for what calibration chose."""
    chosen = [row for group in groups if (row := winning(group)) is not None]
    p, points = holm([_p(row) for row in chosen]), 100 * groups[0][0]["margin"]
    short = sum(
        row["goal"] == "shorter" and held_out(row).n >= 1000 and _p(row) < 0.05 and _saved(row) >= 0.15
        for row in chosen
    )
    better = sum(
        row["goal"] == "better" and each < 0.05 and _saved(row) >= 0 for row, each in zip(chosen, p, strict=True)
    )
    return [
        "chosen on: items set aside for choosing; `shorter` is the shortest finalist that is not worse on them (corrected over the",
        "finalists). `*`: the best by that rule, corrected over the finalists of all methods. p: for `shorter` against worse by",
        f"{points:g} points or more (Tango's score test), for `better` against not more accurate (exact McNemar test), both",
        "one-sided; p Holm: corrected over the methods of the group. Differences in points.",
        "Runs of the whole model over an item: of search, which --runs limits; spent: search and choice, without held-out items.",
        "Rows without the former are older than that limit: their searches may have passed it, each by another amount.",
        "",
        f"Of {len(groups)} groups, {short} end in a chain that is at least 15% shorter and not worse (p < 0.05, at least 1,000",
        f"held-out items), and {better} in one that is better at no more layers (p < 0.05, corrected over all choices above).",
    ]


def held_out(row: Row) -> Paired:
    """The counts of a row's choice on the held-out items."""
    return Paired(*next(v["held_out"] for v in row["front"] if v["chain"] == row["choice"]))


def difference(paired: Paired) -> str:
    """In points, with its interval."""
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * d for d in (paired.difference, *paired.interval())))


def p_value(paired: Paired, goal: str, margin: float) -> float:
    """Of the test that the goal asks for, one-sided: not worse by the margin, or more accurate."""
    return paired.p_not_worse(margin) if goal == "shorter" else paired.p_better


def _p(row: Row) -> float:
    return p_value(held_out(row), row["goal"], row["margin"])


def _saved(row: Row) -> float:
    return 1 - len(Chain.parse(row["choice"])) / row["layers"]


def winning(group: Sequence[Row]) -> Row | None:
    """The row of the winner by the rule of objective=dataset, which sees the selection items only, with what wins as its choice."""
    entered = [Chosen(row["method"], list(map(as_chosen, row["front"])), None, 0, 0.0) for row in group]
    best = winner(entered, _objective(group[0]), group[0]["layers"])
    if best is None or best.choice is None:
        return None
    row = next(row for row in group if row["method"] == best.method)
    return {**row, "choice": str(best.choice.chain)}


if __name__ == "__main__":
    main()
