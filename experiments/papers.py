"""Both papers in one page: CoLa's Table 1 and its two findings, and the Void table, for small models, with controls.

    python experiments/papers.py --models smollm2 gemma3_270m qwen25_coder_05b --processes 12 --threads 1

CoLa's cells are measured here (conf/search/cola.yaml: 200 simulations, verdicts of the engine); the Void table is that of
experiments/voids.py, which must have run. Both are set beside the papers' figures for their models, which are larger.
"""

from argparse import Namespace
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

from cells import Cell, arguments, model_of, read_rows, run_cells, scorer_of
from papers_page import ARC, MATH, page
from search_quality import base_verdict, untaught

from cola_search import ModelScorer, load_task
from cola_search.baselines import Searcher, make_search
from cola_search.config import compose_settings
from cola_search.errors import UserError
from cola_search.job import DECOY, RANDOM, SEARCH, decoy_of, generator, run_searches, run_wave
from cola_search.outcome import Outcome
from cola_search.search_settings import SearchSettings
from cola_search.tasks.sample import Sample

ALL_MATH = "math"  # all levels in one cell: the more answers are written at once, the less each costs
SCORED = ["arc_easy", "arc_challenge", "boolq", "mmlu"]
ARMS = {"skip only": 1.0, "repeat only": 0.0, "both": None}  # share of skips among the edits; None: CoLa's own


def main() -> None:
    """Measures what is missing and writes papers.md."""
    parser = arguments(__doc__, "papers.jsonl")
    parser.add_argument("--models", nargs="+", default=["smollm2", "gemma3_270m", "qwen25_coder_05b"])
    parser.add_argument("--tasks", nargs="+", default=[*ARC, ALL_MATH, *SCORED])
    parser.add_argument("--items", type=int, default=100, help="of each task that scores options")
    parser.add_argument("--math-items", type=int, default=30, help="of each level of MATH")
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--math-in-flight", type=int, default=96)
    args = parser.parse_args()
    run_cells(cells(args), work, args)
    rows = read_rows(args.out)  # those of commands with other numbers of items too
    args.out.with_suffix(".md").write_text(page(rows, sorted(args.out.parent.glob("voids*.json"))))


def cells(args: Namespace) -> list[Cell]:
    """One cell a model, task and arm, the joint search first."""
    return [
        {"model": model, "task": task, "arm": arm, "items": args.math_items if task == ALL_MATH else args.items,
         "in_flight": args.math_in_flight if task == ALL_MATH else args.in_flight}
        for arm, task, model in product(reversed(ARMS), args.tasks, args.models)
    ]  # fmt: skip


def work(cell: Cell) -> dict[str, Any]:
    """Per item the base's verdict, None where it has none, and the length of the shortest right chain of the search, of its
    decoy, and of random chains; the controls say whether luck gets there too, and end as soon as it has."""
    try:
        parts, scorer = asked(cell)
    except UserError as error:  # such as a chat protocol for a model without a chat template
        return {"refused": str(error)}
    samples = [sample for some in parts.values() for sample in some]
    at_once = max(1, cell["in_flight"] // 3)
    ends: list[Ends] = []
    for start in range(0, len(samples), at_once):
        ends += side_by_side(scorer, samples[start : start + at_once], of_arm(cell["arm"]))
    return {
        "num_layers": scorer.engine.model.num_layers,
        "n": len(samples),
        "parts": {task: len(some) for task, some in parts.items()},
        "base": [base_verdict(end.search) for end in ends],
        "shortest": [shortest(end.search) for end in ends],
        "random": [shortest(end.random) for end in ends],
        "decoy": {str(i): shortest(end.decoy) for i, end in enumerate(ends) if end.decoy},
        "evaluations": sum(end.search.evaluations for end in ends),
    }


def asked(cell: Cell) -> tuple[dict[str, list[Sample]], ModelScorer]:
    """The items of a cell by task, and what scores them."""
    tasks = MATH if cell["task"] == ALL_MATH else [cell["task"]]
    first, scorer = scorer_of(cell["model"], tasks[0], cell["items"], cell["in_flight"])
    more = [load_task(task, limit=cell["items"]).bind(model_of(cell["model"])) for task in tasks[1:]]
    return {name: list(task) for name, task in zip(tasks, [first, *more], strict=True)}, scorer


class Ends(NamedTuple):
    """What a sample's search, random chains, and the decoy's search found; no decoy where the base is right or it has none."""

    search: Outcome
    random: Outcome
    decoy: Outcome | None


def side_by_side(scorer: ModelScorer, samples: list[Sample], settings: SearchSettings) -> list[Ends]:
    """All searches of the samples and all of their controls, at once."""
    control = replace(settings, stop="improved", improved_by=1)
    found = [begun(scorer, sample, settings, SEARCH) for sample in samples]
    drawn = [begun(scorer, sample, replace(control, algorithm="random"), RANDOM) for sample in samples]
    run_wave(scorer, list(zip(samples, found, strict=True)))
    bases = [search.outcome() for search in found]
    wrong = [i for i, base in enumerate(bases) if base_verdict(base) == 0]
    decoys = {i: decoy for i in wrong if (decoy := decoy_of(samples[i], bases[i], 0))}
    chased = {i: begun(scorer, decoy, control, DECOY) for i, decoy in decoys.items()}
    asked_of = [*samples, *samples, *decoys.values()]
    run_searches(scorer, list(zip(asked_of, [*found, *drawn, *chased.values()], strict=True)))
    for sample in asked_of:
        scorer.release(sample)
    ends = (chased[i].outcome() if i in chased else None for i in range(len(samples)))
    return [Ends(a.outcome(), b.outcome(), decoy) for a, b, decoy in zip(found, drawn, ends, strict=True)]


def begun(scorer: ModelScorer, sample: Sample, settings: SearchSettings, use: int) -> Searcher:
    """A new search, which draws by the seed 0 and the item as a run's does."""
    num_layers = scorer.engine.model.num_layers
    rng = generator(0, sample.id.removesuffix("/decoy"), use)
    return make_search(settings, num_layers, untaught(settings, num_layers).table, rng)


def of_arm(arm: str) -> SearchSettings:
    """CoLa's search, held to one kind of edit where the arm says so."""
    settings = compose_settings(["search=cola"]).search
    share = ARMS[arm]
    return settings if share is None else replace(settings, skip_share=share)


def shortest(outcome: Outcome) -> int:
    """The length of the shortest right chain, 0 if there is none."""
    return len(outcome.candidates[0][0]) if outcome.candidates else 0


if __name__ == "__main__":
    main()
