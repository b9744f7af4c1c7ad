"""Does what was chosen on calibration items, and tested once, hold a second time on items that nothing has seen?

A cell is one chain that `static_chains.py` or `held_out.py` chose on calibration items, beside the base, on the items of the train
split that come next in the order in which those were drawn: they were neither searched, nor chosen, nor reported on.
Chains longer than the model are left out: nothing at a higher cost is claimed.

    python experiments/replicate.py --items 8000 --processes 1 --threads 2
"""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
from cells import RESULTS, Cell, arguments, engine_of, model_of, read_rows, run_cells
from static_chains import IN_FLIGHT, MARGIN, as_chosen, difference, grouped, p_value, winning

from cola_search import ModelScorer
from cola_search.chain import Chain
from cola_search.model.precision import dtype_name
from cola_search.objective.arms import Arm, apply_arm
from cola_search.objective.dataset import choose
from cola_search.objective.items import split_items, unseen_items
from cola_search.objective.option_table import OptionTable, score_table
from cola_search.objective.paired import Paired, holm, pair
from cola_search.objective_settings import ObjectiveSettings
from cola_search.tasks.config import TaskConfig

Row = dict[str, Any]
FITTED = ("weighted", "boosted", "unbiased")  # what held_out.py fits to the option scores of a single chain


def main() -> None:
    """Measures what is missing and writes the table beside the rows."""
    parser = arguments(__doc__, "replicate.jsonl")
    parser.add_argument("--items", type=int, default=8000, help="items at most")
    args = parser.parse_args()
    if run_cells(cells(args), work, args):
        rows = read_rows(args.out)  # of chains that a later experiment would not choose, too: they were tested
        args.out.with_suffix(".md").write_text(table(rows))


def cells(args: Namespace) -> list[Cell]:
    """One cell a chain that calibration chose; `drawn` is how many items its experiment drew, `tested` how many it held out."""
    chosen = [*_static(read_rows(RESULTS / "static_chains.jsonl")), *_best(read_rows(RESULTS / "held_out.jsonl"))]
    return [{**cell, "items": args.items} for cell in chosen]


def _static(rows: Sequence[Row]) -> Iterator[Cell]:
    """The chain of the method that wins its group, as static_chains.md marks it, and the finalist that gains."""
    for group in grouped(rows):
        row = winning(group)
        if row is not None:
            yield _cell(row, row["goal"], row["choice"], row["held_out"])
        gaining = most_accurate(group)
        if gaining is not None:
            yield _cell(group[0], "better", gaining, group[0]["held_out"])


def most_accurate(group: Sequence[Row]) -> str | None:
    """The choice by the rule of objective=dataset for goal `better` among the finalists of all methods that are no longer than
    the base, corrected over all of those finalists."""
    finalists = {v["chain"]: as_chosen(v) for row in group for v in row["front"] if v["length"] <= row["layers"]}
    best = choose(list(finalists.values()), ObjectiveSettings(goal="better"))
    return best and str(best.chain)


def _best(rows: Sequence[Row]) -> Iterator[Cell]:
    """The one chain that was the best on the calibration items within each budget, up to the cost of the base."""
    for row in rows:
        budgets = (arm["budget"] for arm in row["rows"] if arm["menu"] == arm["selector"] == "chain")
        for budget in sorted(budget for budget in budgets if budget <= row["layers"]):
            (chain,) = row["menus"][f"chain {budget:g}"]
            goal = "better" if budget == row["layers"] else "shorter"
            yield _cell(row, goal, chain, row["held_out"])


def _cell(row: Row, goal: str, chain: str, tested: int) -> Cell:
    named = {key: row[key] for key in ("model", "task", "seed")}
    return {**named, "goal": goal, "chain": chain, "drawn": row["items"], "tested": tested}


def work(cell: Cell) -> Row:
    """The chain beside the base on the next items; a better one also with what calibration fits to the scores of both."""
    model = model_of(cell["model"])
    objective = ObjectiveSettings(items=cell["drawn"], held_out=cell["tested"])
    config = TaskConfig(cell["task"])
    drawn = split_items(objective, config, model, cell["seed"])
    pool, unseen = unseen_items(drawn, objective, config, model, cell["seed"], cell["items"])
    scorer = ModelScorer(model, pool, engine_of(model, IN_FLIGHT[model.device.type]))
    pairs = [Chain.identity(model.num_layers), Chain.parse(cell["chain"])]
    table = score_table(scorer, unseen, pairs)
    row = {"layers": model.num_layers, "length": len(pairs[1]), "dtype": dtype_name(model.dtype)}
    row["counts"] = counts(table.right[:, 0], table.right[:, 1])
    if cell["goal"] == "better":
        row["fitted"] = fitted(score_table(scorer, [*drawn.search, *drawn.selection], pairs), table)
    return row


def fitted(calibration: OptionTable, unseen: OptionTable) -> dict[str, list[list[int]]]:
    """For each selector of single chains: the base with it beside the base, and the chain with it beside the base with it."""
    found = {}
    for name in FITTED:
        base, chain = (
            apply_arm(Arm("chain", name, 0.0), [one], calibration, unseen).right for one in calibration.chains
        )
        found[name] = [counts(unseen.right[:, 0], base), counts(base, chain)]
    return found


def counts(base: np.ndarray, chain: np.ndarray) -> list[int]:
    """[items, right by the first, gained, lost] of two lists of verdicts."""
    return list(astuple(pair(base.tolist(), chain.tolist())))


def table(rows: Sequence[Row]) -> str:
    """Markdown: a line a chain, p-values corrected over all of them; then the better ones with fitted scores."""
    lines = [
        "| model | task | goal | chain | layers | items | base | chain | minus base (95%) | p | p Holm |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row, corrected in zip(rows, holm([_p(row) for row in rows]), strict=True):
        paired = Paired(*row["counts"])
        lines.append(
            f"| {row['model']} | {row['task']} | {row['goal']} | `{row['chain']}` | {row['length']} of {row['layers']} "
            f"| {paired.n:,} | {paired.base_right / paired.n:.1%} | {paired.right / paired.n:.1%} | {difference(paired)} "
            f"| {_p(row):.2g} | {corrected:.2g} |"
        )
    return "\n".join([*lines, "", *NOTES, "", *_fitted_lines(rows)]) + "\n"


def _fitted_lines(rows: Sequence[Row]) -> Iterator[str]:
    """What calibration fits to option scores, for the base and for the chain; one-sided exact McNemar tests, uncorrected."""
    yield "| model | task | chain | fitted | base with it | minus base (95%) | chain with it | minus base with it (95%) | p |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for row in rows:
        for name, (base, chain) in row.get("fitted", {}).items():
            one, other = Paired(*base), Paired(*chain)
            yield (
                f"| {row['model']} | {row['task']} | `{row['chain']}` | {name} | {one.right / one.n:.1%} | {difference(one)} "
                f"| {other.right / other.n:.1%} | {difference(other)} | {other.p_better:.2g} |"
            )
    yield ""
    yield "fitted: what `held_out.py` fits to a single chain's option scores on the calibration items: `weighted` (conditional"
    yield "logit), `boosted` (gradient boosting), `unbiased` (a bias for each place). p: the chain against the base, both with it,"
    yield "uncorrected."


NOTES = [
    "`python experiments/replicate.py`: chains that `static_chains.py` (`shorter`; `better` where its selection items show a",
    "finalist to be more accurate) and `held_out.py` (the best of a budget) chose on calibration items, once more, on items of the",
    "train split that nothing had seen, and that were first looked at here. p, one-sided: for `shorter` against worse by",
    f"{100 * MARGIN:g} points or more (Tango's score test), for `better` against not more accurate (exact McNemar test); p Holm:",
    "corrected over all lines. Differences in points. Verdicts are the engine's, in bfloat16.",
]


def _p(row: Row) -> float:
    return p_value(Paired(*row["counts"]), row["goal"], MARGIN)


if __name__ == "__main__":
    main()
