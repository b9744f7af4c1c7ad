"""How short, how soon, and how far above a decoy: every search with the same items, engine and layer executions.

A cell is one search of all items of one task with one seed. The budget is that of so many runs of the whole model
(--chains) for each item; each search is stopped there and looked at on the way. Verdicts while searching are the engine's.
With seed 0 the search is also sent after a wrong answer (the decoy) where the base is wrong, and the shortest right chain of
each item is verified by stock transformers. A name that ends in `+learnt` is that search with what the same search, seed and
budget taught on as many items behind those of the cell (prior=learnt). `python experiments/quality_tables.py` makes the tables
and curves of the rows.

    python experiments/search_quality.py --models smollm2 qwen25_coder_05b --tasks arc_easy arc_challenge \
        commonsense_qa_cloze piqa arithmetic_short math_level_1 --items 100 --seeds 3 --processes 12 --threads 1
"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cells import Cell, arguments, model_of, run_cells, scorer_of

from cola_search import ModelScorer
from cola_search.baselines import make_search
from cola_search.config import compose_settings
from cola_search.job import DECOY, SEARCH, decoy_of, generator, run_searches
from cola_search.lessons import NO_LESSONS, Lessons, Searched, learn
from cola_search.objective.head_cost import head_cost
from cola_search.outcome import Outcome
from cola_search.priors import learn_table, uniform
from cola_search.scoring import verify
from cola_search.search_settings import SearchSettings
from cola_search.tasks.sample import Sample

LEARNT = "+learnt"
OURS = ("partial", "edits", f"edits{LEARNT}")
SEARCHES = (
    *OURS, "hill_climbing", "hill_climbing_cheap", "hill_climbing_learning", "greedy", "beam", "random",
    "cola", "drllm", "drllm_released", "repolar",
)  # fmt: skip
LOOKS = (1.5, 2, 3, 5, 10, 20, 50, 100, 200)  # runs of the whole model after which a search is looked at


def main() -> None:
    """Measures what is missing."""
    parser = arguments(__doc__, "search_quality.jsonl")
    parser.add_argument("--models", nargs="+", default=["smollm2", "qwen25_coder_05b"])
    parser.add_argument(
        "--tasks", nargs="+", default=["arc_easy", "arc_challenge", "commonsense_qa_cloze", "piqa", "arithmetic_short"]
    )
    parser.add_argument("--searches", nargs="+", default=SEARCHES)
    parser.add_argument("--first", type=int, default=0, help="items before this one are left to tuning")
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--chains", type=int, default=200, help="budget of an item, in runs of the whole model")
    parser.add_argument("--in-flight", type=int, default=32)
    args = parser.parse_args()
    for model in args.models:
        run_cells(cells(args, model), work, args, partial(rows_of, args.out))


def rows_of(out: Path, cell: Cell) -> Path:
    """The file of a cell's row: the rows of all models and tasks in one would be above 1 MB."""
    return out.with_stem(f"{out.stem}_{cell['model']}_{cell['task']}")


def cells(args: Namespace, model: str) -> list[Cell]:
    """One cell a search, seed and task; a seed of all before the next seed, so that an early end leaves whole seeds."""
    return [
        {"model": model, "task": task, "search": search, "seed": seed, "first": args.first, "items": args.items,
         "chains": args.chains, "in_flight": args.in_flight}
        for seed, task, search in product(range(args.seeds), args.tasks, args.searches)
    ]  # fmt: skip


def work(cell: Cell) -> dict[str, Any]:
    """What the search reached on each item, at each share of the budget; for its decoy as well."""
    model = model_of(cell["model"])
    name, learns = cell["search"].removesuffix(LEARNT), cell["search"].endswith(LEARNT)
    end = cell["first"] + cell["items"]
    task, scorer = scorer_of(cell["model"], cell["task"], end + learns * cell["items"], cell["in_flight"])
    settings = settings_of(name, cell["chains"] * model.num_layers)
    samples = [task[i] for i in range(cell["first"], end)]
    begin = untaught(settings, model.num_layers)
    if learns:
        behind = [task[i] for i in range(end, len(task))]
        begin = taught(behind, searched(scorer, behind, settings, cell, begin, SEARCH), settings, model.num_layers)
    found = searched(scorer, samples, settings, cell, begin, SEARCH)
    pairs = zip(samples, found, strict=True) if cell["seed"] == 0 else ()
    wrong = [(sample, outcome) for sample, outcome in pairs if base_verdict(outcome) == 0]
    decoys = {sample.id: decoy for sample, outcome in wrong if (decoy := decoy_of(sample, outcome, cell["seed"]))}
    outcomes = searched(scorer, list(decoys.values()), settings, cell, begin, DECOY)
    chased = dict(zip(decoys, outcomes, strict=True))
    grid = [round(look * model.num_layers) for look in LOOKS if look <= cell["chains"]]
    reads = [head_cost(scorer.engine.stock, [sample]) for sample in samples]
    return {
        **measured(found, grid, model.num_layers),
        "head_cost": round(float(np.mean(reads)), 3),
        "with_reads": with_reads(found, grid, reads),
        "decoy": [shortest_by(chased[sample.id], grid) if sample.id in chased else None for sample in samples],
        "verified": held(scorer, samples, found) if cell["seed"] == 0 else None,
    }


def measured(found: Sequence[Outcome], grid: Sequence[float], num_layers: int) -> dict[str, Any]:
    """What searches reached: per item the shortest right length at each cost of the grid, and when something was first found."""
    return {
        "num_layers": num_layers,
        "grid": grid,
        "base": [base_verdict(outcome) for outcome in found],
        **with_reads(found, grid, [0.0] * len(found)),
        "first_shorter": [outcome.first_shorter and round(outcome.first_shorter.layer_executions) for outcome in found],
        "evaluations": sum(outcome.evaluations for outcome in found),
        "layer_executions": round(sum(outcome.layer_executions for outcome in found)),
    }


def base_verdict(outcome: Outcome) -> int | None:
    """Whether the base is right, 0 or 1; None for an error, which is neither."""
    score = outcome.chains[0][1]
    return int(score.correct) if score.error is None else None


@cache
def settings_of(search: str, budget: float) -> SearchSettings:
    """The search of conf/search with this budget and nothing else that stops it."""
    settings = compose_settings([f"search={search}"]).search
    return replace(settings, simulations=10**7, max_layer_executions=budget, stop="none", target_length=None)


class Beginning(NamedTuple):
    """What a search begins with: the table of its prior, and lessons."""

    table: np.ndarray
    lessons: Lessons = NO_LESSONS


def untaught(settings: SearchSettings, num_layers: int) -> Beginning:
    """The uniform prior, which every search of the tables has that is not called otherwise."""
    return Beginning(uniform(num_layers, settings.hazard, settings.skip_share))


def taught(samples: list[Sample], found: list[Outcome], settings: SearchSettings, num_layers: int) -> Beginning:
    """What prior=learnt makes of these searches."""
    prior = compose_settings(["prior=learnt", "prior.records=these"]).prior
    best = [outcome.candidates[0][0] for outcome in found if outcome.candidates]
    table = learn_table(best, num_layers, settings.hazard, settings.skip_share, prior.strength)
    told = [Searched.of_outcome(sample.id, outcome) for sample, outcome in zip(samples, found, strict=True)]
    return Beginning(table, learn(told, num_layers, prior.menu))


def searched(
    scorer: ModelScorer, samples: list[Sample], settings: SearchSettings, cell: Cell, begin: Beginning, use: int
) -> list[Outcome]:
    """The outcome of each sample's search, many of them side by side."""
    outcomes = []
    num_layers = scorer.engine.model.num_layers
    for start in range(0, len(samples), cell["in_flight"]):
        part = samples[start : start + cell["in_flight"]]
        rngs = [generator(cell["seed"], sample.id.removesuffix("/decoy"), use) for sample in part]
        searches = [make_search(settings, num_layers, begin.table, rng, begin.lessons) for rng in rngs]
        run_searches(scorer, list(zip(part, searches, strict=True)))
        outcomes += [search.outcome() for search in searches]
        for sample in part:
            scorer.release(sample)
    return outcomes


def with_reads(found: Sequence[Outcome], grid: Sequence[float], reads: Sequence[float]) -> dict[str, Any]:
    """Per item the shortest right length at each cost of the grid, and when it was first fixed, where each chain but the base
    pays for its read of the head as well: `reads` layers on each item.

    A chain that another one begins with costs no layers at all, but its answer has to be read.
    """
    fixes = [outcome.first_fix for outcome in found]
    return {
        "shortest": [shortest_by(outcome, grid, read) for outcome, read in zip(found, reads, strict=True)],
        "first_fix": [
            fix and round(fix.layer_executions + read * (fix.evaluations - 1))
            for fix, read in zip(fixes, reads, strict=True)
        ],
    }


def shortest_by(outcome: Outcome, grid: Sequence[float], read: float = 0.0) -> list[int]:
    """The length of the shortest right chain known at each cost of the grid, 0 where there is none; see with_reads."""
    right = [(spent + k * read, len(chain)) for k, (chain, score, spent) in enumerate(outcome.chains) if score.right]
    return [min((length for spent, length in right if spent <= cost), default=0) for cost in grid]


def held(scorer: ModelScorer, samples: list[Sample], found: list[Outcome]) -> list[int]:
    """[how many, of how many] shortest right chains that are right for stock transformers too."""
    best = [
        (sample, outcome.candidates[0][0]) for sample, outcome in zip(samples, found, strict=True) if outcome.candidates
    ]
    return [int(np.sum([verify(scorer, sample, chain).right for sample, chain in best])), len(best)]


if __name__ == "__main__":
    main()
