"""Does a choice of chains without labels beat the base on held-out items at equal cost? A table a (model, task).

Candidates come from searches on calibration items of the train split; every one of them, single edits and pairs of these
race on the calibration items; menus and selectors are chosen there by cross-validation (judged by the items that no chain was
found on), and counted once on held-out items. Costs are layer executions; a menu's reads of the head beyond the base's one count
as what they are worth in layers. Tables of option scores are kept below --cache, so that a changed selector needs no model run.

    python experiments/held_out.py --models smollm2 qwen25_coder_05b --tasks arc_easy openbookqa --cache CACHE
    python experiments/held_out.py --size tiny --cache CACHE --out tiny.jsonl     minutes on two CPU cores

Evaluations of one cell of full size, for L layers: 100 x 100 in the searches, 200 x (9 L + 400) in the first heat,
1,000 x (60 + L) in the second and about 2,000 x 30 held out: 10,000 + 134,000 + 90,000 + 60,000 for 30 layers, and a fifth of
that in a small one; chains share prefixes, so that each costs about a third of a pass.
"""

import itertools
import os
from pathlib import Path
from typing import Any

from cells import arguments, engine_of, model_of, read_rows, run_cells
from held_out_table import page

from cola_search.objective.items import split_items
from cola_search.objective.menu_run import Study
from cola_search.objective_settings import ObjectiveSettings
from cola_search.search_settings import SearchSettings
from cola_search.tasks.config import TaskConfig

TASKS = ["arc_easy", "arc_challenge", "openbookqa", "commonsense_qa_cloze", "sciq", "piqa", "boolq", "hellaswag"]
SIZES = {
    "tiny": {"items": 40, "held_out": 40, "searches": 4, "simulations": 20, "candidates": 20, "first": 8, "finalists": 10},
    "small": {
        "items": 400, "held_out": 1000, "searches": 40, "simulations": 60, "candidates": 60, "first": 60, "finalists": 25,
    },
    "full": {
        "items": 1000, "held_out": 2000, "searches": 100, "simulations": 100, "candidates": 200, "first": 200,
        "finalists": 60,
    },
}  # fmt: skip


def work(cell: dict[str, Any]) -> dict[str, Any]:
    """The row of one model and task: every arm with its counts, the oracle, and what calibration chooses."""
    model = model_of(cell["model"])
    sizes = {key: cell[key] for key in ("items", "held_out", "searches", "candidates", "first", "finalists")}
    objective = ObjectiveSettings(kind="menu", menu_size=5, **sizes)
    engine = engine_of(model, int(os.environ["HELD_OUT_IN_FLIGHT"]))
    items = split_items(objective, TaskConfig(cell["task"]), model, cell["seed"])
    search = SearchSettings(simulations=cell["simulations"], max_length=1.0, max_block=1 if cell["items"] < 100 else 4)
    result = Study(model, items, objective, search, engine, cell["seed"], tables_of(cell)).run()
    menus = {f"{arm['menu']} {arm['budget']:g}": arm["chains"] for arm in result["rows"]}
    rows = [compact(arm) for arm in result["rows"] if arm["chains"]]
    return {**result, "rows": rows, "menus": menus, "task": cell["task"], "model": cell["model"]}


def tables_of(cell: dict[str, Any]) -> Path:
    """The folder of a cell's tables: directly below --cache, also for a model that is named by a path or a hub id."""
    name = f"{cell['model']}-{cell['task']}-{cell['seed']}"
    return Path(os.environ["HELD_OUT_CACHE"]) / name.replace("/", "_")


def compact(arm: dict[str, Any]) -> dict[str, Any]:
    """The arm with short floats, and without what follows from its counts or is shared by many arms (its chains)."""
    return {
        k: round(v, 4) if isinstance(v, float) else v
        for k, v in arm.items()
        if k not in ("chains", "of", "low", "high")
    }


def main() -> None:
    """Fills the table, and prints and writes for each cell what calibration chose and what that is worth."""
    parser = arguments(__doc__, "held_out.jsonl")
    parser.add_argument("--models", nargs="+", default=["smollm2", "qwen25_coder_05b"])
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder of the tables of option scores")
    parser.add_argument("--in-flight", type=int, default=8, help="samples that share batches")
    parser.add_argument("--size", choices=SIZES, default="full", help="tiny: to see that it runs")
    args = parser.parse_args()
    os.environ |= {
        "HELD_OUT_CACHE": str(args.cache),
        "HELD_OUT_IN_FLIGHT": str(args.in_flight),
    }
    sizes = SIZES[args.size]
    combined = itertools.product(args.models, args.tasks, args.seeds)
    cells = [{"model": model, "task": task, "seed": seed, **sizes} for model, task, seed in combined]
    for row in run_cells(cells, work, args):
        print(line(row))
    args.out.with_suffix(".md").write_text(page(read_rows(args.out)))  # with the cells of other commands


def line(row: dict[str, Any]) -> str:
    """One cell in one line: the base, and per budget the arm that calibration chose."""
    base = row["base"]
    chosen = [arm for arm in row["rows"] if arm["chosen"] and arm["menu"] != "base"]
    told = [
        f"{arm['menu']}+{arm['selector']} (cost {arm['cost']:g}): {100 * arm['difference']:+.1f} points, p {arm['p']:.3f}"
        for arm in chosen
    ]
    return f"{row['model']} {row['task']}: base {base['count']}/{base['of']} at {row['layers']}; " + "; ".join(told)


if __name__ == "__main__":
    main()
