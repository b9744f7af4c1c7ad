"""Does a prior help? The same samples, seeds and budget in layer executions with each form of prior (prior_forms.py).

    python experiments/prior_ablation.py --processes 12 --threads 1

Two stages. All forms are run on the first --choose items of each task with one seed, and for each search the best form is
taken there (`chosen`). Uniform, voids@0.8, its reverse and the chosen form are then run on the next --report items with
--seeds seeds: that is what is reported. A cell is one search of all items; what the scores of a form cost beyond the base
pass is charged to its search before it begins (the mean over 32 train items is not: it is had once for all items).
Tables go to OUT.md, curves to OUT.svg, next to the rows in OUT.jsonl.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from itertools import product
from typing import Any

from cells import Cell, arguments, read_rows, run_cells, scorer_of
from prior_ablation_tables import chosen, write
from prior_forms import ALL, MoveRecorder, Moves, extra_cost, skip_scores
from search_quality import measured, settings_of

from cola_search import ModelScorer
from cola_search.baselines import Searcher, make_search
from cola_search.job import SEARCH, generator, run_searches
from cola_search.outcome import Outcome
from cola_search.priors import from_skip_scores

GRID = (60, 120, 250, 500, 1000, 2000, 4000, 8000)  # layer executions at which a search is looked at
REPORTED = ("uniform", "voids@0.8", "reverse@0.8")


def main() -> None:
    """Measures what is missing in both stages, and writes tables and curves."""
    args = parse()
    first = choose_cells(args)
    rows = rows_of(args, first)
    if len(rows) < len(first):
        sys.exit(f"{len(first) - len(rows)} of {len(first)} cells of the first stage are missing: run it again")
    best = chosen(rows, REPORTED)
    print(f"chosen on the first {args.choose} items: {best}", flush=True)
    write(args.out, rows, rows_of(args, report_cells(args, best)), best)


def parse(words: Sequence[str] | None = None) -> Namespace:
    parser = arguments(__doc__, "prior_ablation.jsonl")
    parser.add_argument("--models", nargs="+", default=["smollm2", "qwen25_coder_05b"])
    parser.add_argument("--tasks", nargs="+", default=["arc_easy", "boolq"])
    parser.add_argument("--searches", nargs="+", default=["partial", "edits"])
    parser.add_argument("--forms", nargs="+", default=ALL)
    parser.add_argument("--choose", type=int, default=50, help="items on which a form is chosen")
    parser.add_argument("--report", type=int, default=100, help="items after those, on which it is reported")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=4000, help="layer executions of one search")
    parser.add_argument("--in-flight", type=int, default=25, help="items that share batches")
    parser.add_argument("--draw", action="store_true", help="draw what is there and measure nothing")
    return parser.parse_args(words)


def rows_of(args: Namespace, cells: list[Cell]) -> list[dict[str, Any]]:
    """The rows of the cells; with --draw those that are there."""
    if not args.draw:
        return run_cells(cells, work, args)
    return [row for row in read_rows(args.out) if {key: row.get(key) for key in cells[0]} in cells]


def choose_cells(args: Namespace) -> list[Cell]:
    """Stage 1: every form with one seed."""
    return _cells(args, args.searches, args.forms, 0, 0, args.choose)


def report_cells(args: Namespace, best: dict[str, str]) -> list[Cell]:
    """Stage 2: what is reported, seed by seed, so that an early end leaves whole seeds."""
    return [
        cell
        for seed, search in product(range(args.seeds), args.searches)
        for cell in _cells(args, [search], (*REPORTED, best[search]), seed, args.choose, args.report)
    ]


def _cells(
    args: Namespace, searches: Sequence[str], forms: Sequence[str], seed: int, first: int, items: int
) -> list[Cell]:
    fixed = {"seed": seed, "first": first, "items": items, "budget": args.budget, "in_flight": args.in_flight}
    names = product(args.models, args.tasks, searches, dict.fromkeys(forms))
    return [dict(zip(("model", "task", "search", "form"), each, strict=True)) | fixed for each in names]


def work(cell: Cell) -> dict[str, Any]:
    """What the search reached on each item, at each cost of the grid."""
    task, scorer = scorer_of(cell["model"], cell["task"], cell["first"] + cell["items"], cell["in_flight"])
    samples = [task[i] for i in range(cell["first"], len(task))]
    found: list[Outcome] = []
    for start in range(0, len(samples), cell["in_flight"]):
        found += searched(scorer, samples[start : start + cell["in_flight"]], cell)
    grid = [cost for cost in GRID if cost <= cell["budget"]] or [cell["budget"]]
    return measured(found, grid, scorer.engine.model.num_layers)


def searched(scorer: ModelScorer, samples: list[Any], cell: Cell) -> list[Outcome]:
    """The outcomes of samples searched side by side, each from the base pass that its prior is read off."""
    settings = settings_of(cell["search"], cell["budget"])
    watched = scorer.score_base(samples, MoveRecorder)
    moves = [Moves.of(each.watch, each.tokens) for each in watched if each.watch is not None]
    scores = skip_scores(cell["form"], moves, samples, cell)
    extra = extra_cost(cell["form"], samples, cell)
    searches: list[Searcher] = []
    for sample, base, skip, spent in zip(samples, watched, scores, extra, strict=True):
        table = from_skip_scores(skip, settings.hazard, settings.skip_share)
        search = make_search(settings, len(skip), table, generator(cell["seed"], sample.id, SEARCH))
        search.tell(search.ask(), base.scored.scores, base.scored.layer_executions + spent)
        searches.append(search)
    run_searches(scorer, list(zip(samples, searches, strict=True)))
    for sample in samples:
        scorer.release(sample)
    return [search.outcome() for search in searches]


if __name__ == "__main__":
    main()
