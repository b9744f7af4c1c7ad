"""Both papers in one page: CoLa's Table 1 and its two findings, and the Void table, for small models, with controls.

    python experiments/papers.py --models smollm2 gemma3_270m qwen25_coder_05b --processes 12 --threads 1

CoLa's cells are measured here (conf/search/cola.yaml: 200 simulations, verdicts of the engine); the Void table is that of
experiments/voids.py, which must have run. Both are set beside the papers' figures for their models, which are larger.
"""

from argparse import Namespace
from dataclasses import replace
from itertools import product
from typing import Any

from cells import Cell, arguments, model_of, read_rows, run_cells, scorer_of
from papers_page import ARC, MATH, page
from search_quality import base_verdict, searched, untaught

from cola_search.config import compose_settings
from cola_search.errors import UserError
from cola_search.job import DECOY, RANDOM, SEARCH, decoy_of
from cola_search.outcome import Outcome
from cola_search.search_settings import SearchSettings

SCORED = ["arc_easy", "arc_challenge", "boolq", "mmlu"]
ARMS = {"skip only": 1.0, "repeat only": 0.0, "both": None}  # share of skips among the edits; None: CoLa's own


def main() -> None:
    """Measures what is missing and writes papers.md."""
    parser = arguments(__doc__, "papers.jsonl")
    parser.add_argument("--models", nargs="+", default=["smollm2", "gemma3_270m", "qwen25_coder_05b"])
    parser.add_argument("--tasks", nargs="+", default=[*ARC, *MATH, *SCORED])
    parser.add_argument("--items", type=int, default=100, help="of each task that scores options")
    parser.add_argument("--math-items", type=int, default=30, help="of each level of MATH")
    parser.add_argument("--in-flight", type=int, default=16)
    args = parser.parse_args()
    run_cells(cells(args), work, args)
    rows = read_rows(args.out)  # those of commands with other numbers of items too
    args.out.with_suffix(".md").write_text(page(rows, sorted(args.out.parent.glob("voids*.json"))))


def cells(args: Namespace) -> list[Cell]:
    """One cell a model, task and arm, the joint search first."""
    return [
        {"model": model, "task": task, "arm": arm, "items": args.math_items if task in MATH else args.items,
         "in_flight": args.in_flight}
        for arm, task, model in product(reversed(ARMS), args.tasks, args.models)
    ]  # fmt: skip


def work(cell: Cell) -> dict[str, Any]:
    """Per item the base's verdict, None where it has none, and the length of the shortest right chain of the search, of its
    decoy, and of random chains; the controls say whether luck gets there too, and end as soon as it has."""
    cell = {**cell, "seed": 0}
    model = model_of(cell["model"])
    try:
        task, scorer = scorer_of(cell["model"], cell["task"], cell["items"], cell["in_flight"])
    except UserError as error:  # such as a chat protocol for a model without a chat template
        return {"refused": str(error)}
    settings = of_arm(cell["arm"])
    begin = untaught(settings, model.num_layers)
    samples = list(task)
    found = searched(scorer, samples, settings, cell, begin, SEARCH)
    bases = [base_verdict(outcome) for outcome in found]
    wrong = [i for i, base in enumerate(bases) if base == 0]
    decoys = {i: decoy for i in wrong if (decoy := decoy_of(samples[i], found[i], 0))}
    control = replace(settings, stop="improved", improved_by=1)
    chased = searched(scorer, list(decoys.values()), control, cell, begin, DECOY)
    drawn = searched(scorer, samples, replace(control, algorithm="random"), cell, begin, RANDOM)
    return {
        "num_layers": model.num_layers,
        "n": len(samples),
        "base": bases,
        "shortest": [shortest(outcome) for outcome in found],
        "random": [shortest(outcome) for outcome in drawn],
        "decoy": dict(zip(map(str, decoys), [shortest(outcome) for outcome in chased], strict=True)),
        "evaluations": sum(outcome.evaluations for outcome in found),
        "layer_executions": round(sum(outcome.layer_executions for outcome in found)),
    }


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
