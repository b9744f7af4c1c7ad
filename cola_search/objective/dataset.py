"""objective=dataset: one chain for a whole task, searched, chosen and reported on three sets of items that share none."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

from cola_search.chain import Chain
from cola_search.errors import UserError
from cola_search.model.export import export_chain
from cola_search.model.loading import LoadedModel, load_model
from cola_search.objective.board import Board, View, scored_with
from cola_search.objective.items import Items, split_items
from cola_search.objective.methods import METHODS, ONE_ERROR, Lab, Method, find
from cola_search.objective.paired import LEVEL, Paired, holm
from cola_search.objective.racing import race
from cola_search.objective_settings import ObjectiveSettings
from cola_search.prior_tables import check_apart
from cola_search.report.stats import wilson
from cola_search.run_folder import DATASET, claim, git_commit, locked
from cola_search.scoring import ModelScorer
from cola_search.settings import Settings
from cola_search.shell import LastingConsole
from cola_search.whole_file import write_whole

EXPORT = "checkpoint"


@dataclass(frozen=True)
class Verdict:
    """A chain on the three sets of items, each compared with the base; held_out only for what was chosen or is shown."""

    chain: Chain
    search: Paired
    selection: Paired
    held_out: Paired | None = None


@dataclass(frozen=True)
class Chosen:
    """What a method ends with: the chain that the selection items chose of its finalists, None if none will do.

    evaluations, layer_executions: of the search and the choice. search_layer_executions: of the search, which has a budget.
    """

    method: str
    finalists: list[Verdict]
    choice: Verdict | None
    evaluations: int
    layer_executions: float
    search_layer_executions: float = 0.0


class Contest:
    """The three boards, and what methods are allowed to see of them."""

    def __init__(self, settings: Settings, model: LoadedModel, items: Items, folder: Path | None = None) -> None:
        self.settings, self.model, self.items = settings, model, items
        self.base = Chain.identity(model.num_layers)
        scorer = ModelScorer(model, items.task, settings.engine)
        about = scored_with(model, items.task, settings.engine)
        boards = {
            name: Board(scorer, samples, folder and folder / f"{name}.jsonl", about)
            for name, samples in (
                ("search", items.search),
                ("selection", items.selection),
                ("held_out", items.held_out),
            )
        }
        self.lab = Lab(settings, model, scorer, boards["search"])
        self._selection = boards["selection"]
        self._held_out = View(boards["held_out"], self.base)

    def enter(self, method: Method, budget: float | None = None) -> Chosen:
        """What a method finds, and what the selection items choose of it; held-out items are not touched.

        budget: layer executions of the search; the choice comes on top.
        """
        found = find(self.lab, method, budget)
        selection = View(self._selection, self.base)
        finalists = found.finalists(self.settings.objective.goal)
        weighed = weigh(selection, finalists, self.settings.objective)
        verdicts = [Verdict(c, found.view.compare(c), on) for c, on in zip(finalists, weighed, strict=True)]
        return Chosen(
            method,
            verdicts,
            choose(verdicts, self.settings.objective),
            found.evaluations + selection.evaluations,
            found.layer_executions + selection.layer_executions,
            found.layer_executions,
        )

    def reveal(self, chosen: Chosen, front: bool = False) -> Chosen:
        """The same with its choice scored on the held-out items, and for `front` every finalist as well."""
        shown = [v for v in chosen.finalists if front or v == chosen.choice]
        self._held_out.see([verdict.chain for verdict in shown], len(self._held_out))
        done = {
            v.chain: Verdict(v.chain, v.search, v.selection, self._held_out.compare(v.chain) if v in shown else None)
            for v in chosen.finalists
        }
        choice = None if chosen.choice is None else done[chosen.choice.chain]
        return replace(chosen, finalists=list(done.values()), choice=choice)

    def base_counts(self) -> tuple[int, int]:
        """(right, of) of the base on the held-out items."""
        self._held_out.see([], len(self._held_out))
        paired = self._held_out.compare(self.base)
        return paired.base_right, paired.n


def weigh(selection: View, finalists: Sequence[Chain], objective: ObjectiveSettings) -> list[Paired]:
    """Each finalist compared with the base on the selection items; one that is hopeless after a quarter or half sees no more.

    Hopeless: at one standard error's bound still worse by the margin (goal `better`: less accurate), so its p-value is above
    0.84 and stays in the correction. Stopping like that only takes choices away: what is chosen is no less sure.
    """
    margin = objective.margin if objective.goal == "shorter" else 0.0
    return [each.paired for each in race(selection, finalists, ceil(len(selection) / 4), margin, level=ONE_ERROR)]


def choose(verdicts: Sequence[Verdict], objective: ObjectiveSettings) -> Verdict | None:
    """The choice on the selection items: the shortest that these show to be not worse than the base, or (goal `better`) the
    most accurate of those that they show to be more accurate; None if they show it of none.

    Shown: by a p-value (Tango's score test, exact McNemar test, both one-sided) corrected for the number of verdicts (Holm).
    Uncorrected, the shortest of some that pass is the one that was lucky: four of seven such choices were 1.2 points or more
    below the base on held-out items (experiments/LOG.md); and of a dozen chains like the base some gain by luck alone.
    """
    shorter = objective.goal == "shorter"
    sides = [verdict.selection for verdict in verdicts]
    corrected = holm([side.p_not_worse(objective.margin) if shorter else side.p_better for side in sides])
    fit = [verdict for verdict, p in zip(verdicts, corrected, strict=True) if p < 1 - LEVEL]
    if shorter:
        return min(fit, key=lambda v: (len(v.chain), -v.selection.difference, v.chain), default=None)
    return min(fit, key=lambda v: (-v.selection.difference, len(v.chain), v.chain), default=None)


def winner(contestants: Sequence[Chosen], objective: ObjectiveSettings, longest: int) -> Chosen | None:
    """The method with the best finalist of all by the same rule, on the selection items alone, and with that as its choice; of
    equals the earlier one.

    The correction is then for the finalists of all methods: one for the choices alone, each the luckiest of its method, lets
    some chain of eight methods win in up to 30% of tasks where all are worse by the margin.
    Chains of more than `longest` layers, which single repeats are, stand beside the others but cannot win.
    """
    finalists = {v.chain: v for c in contestants[::-1] for v in c.finalists if len(v.chain) <= longest}
    best = choose(list(finalists.values()), objective)
    return next((replace(c, choice=best) for c in contestants if best in c.finalists), None)


def check_sizes(items: Items, objective: ObjectiveSettings) -> None:
    """Raises UserError where even a chain that answers like the base could not be told to be not worse."""
    for name, some in (("search", items.search), ("selection", items.selection), ("held-out", items.held_out)):
        if objective.goal == "shorter" and not Paired(len(some), 0, 0, 0).not_worse(objective.margin):
            raise UserError(
                f"objective.margin={objective.margin}: {len(some)} {name} items are too few to tell that a chain is "
                "not worse by it; raise objective.items or objective.held_out, or the margin."
            )


def run_dataset(settings: Settings, command: str = "") -> dict[str, Any]:
    """Searches one chain for the task, writes dataset.json and perhaps a checkpoint, and returns what is in the former.

    It works in this process, whatever `cluster` says. What was scored is kept in run_dir (search.jsonl and so on) with what it
    was charged, and the same command goes on with it, to the same end as a run that nothing stopped; but in low precision
    with engine.mix_samples a margin, and so a near tie, may depend on what was kept and on what else shared its batch.
    Raises UserError for what the user can mend.
    """
    folder = Path(settings.run_dir)
    if settings.objective.export and (folder / EXPORT).exists():
        raise UserError(f"objective.export: {folder / EXPORT} is there already; move it away, or take another run_dir.")
    say = LastingConsole(stderr=True).print
    with locked(folder):
        claim(folder, settings.as_dict(), command)
        model = load_model(settings.model)
        items = split_items(settings.objective, settings.task, model, settings.seed)
        check_sizes(items, settings.objective)
        check_apart(settings.prior, ((sample.id, sample.question) for sample in [*items.selection, *items.held_out]))
        say(f"one chain for {settings.task.name}, in this process: {items.source}, {len(items.held_out)} held out")
        contest = Contest(settings, model, items, folder)
        contestants = []
        for chosen in _contestants(contest):
            contestants.append(chosen)
            say(f"{chosen.method}: {chosen.choice.chain if chosen.choice else 'no chain will do'}", markup=False)
        best = winner(contestants, settings.objective, model.num_layers)
        methods = [best if best is not None and best.method == each.method else each for each in contestants]
        shown = [contest.reveal(chosen, front=chosen is best) for chosen in methods]
        result = report(contest, shown, None if best is None else best.method)
        write_whole(folder / DATASET, json.dumps(result, indent=1) + "\n")
        if settings.objective.export and best is not None and best.choice is not None:
            export_chain(model, best.choice.chain, folder / EXPORT, _card(result))
    return result


def _contestants(contest: Contest) -> Iterator[Chosen]:
    """The tree first: what its search spent is the budget of the others' searches."""
    objective = contest.settings.objective
    tree = contest.enter("tree", contest.settings.search.max_layer_executions)
    yield tree
    if objective.baselines:
        for method in METHODS[1:]:
            if method != "repeat" or objective.goal == "better":
                yield contest.enter(method, tree.search_layer_executions)


def report(contest: Contest, contestants: Sequence[Chosen], best: str | None) -> dict[str, Any]:
    """Everything that was found, as plain data; p-values are corrected over all methods that made a choice."""
    objective, items = contest.settings.objective, contest.items
    right, of = contest.base_counts()
    rows = [_row(chosen, objective.margin) for chosen in contestants]
    key = "p_not_worse" if objective.goal == "shorter" else "p_better"
    tested = [row for row in rows if row["held_out"]]
    for row, p in zip(tested, holm([row["held_out"][key] for row in tested]), strict=True):
        row["held_out"]["p_holm"] = round(p, 6)
    front = next((chosen.finalists for chosen in contestants if chosen.method == best), [])
    return {
        "task": contest.settings.task.name,
        "model": contest.settings.model.name,
        "layers": contest.model.num_layers,
        "goal": objective.goal,
        "margin": objective.margin,
        "seed": contest.settings.seed,
        "calibration": items.source,
        "items": {"search": len(items.search), "selection": len(items.selection), "held_out": len(items.held_out)},
        "base": {"right": right, "of": of, "chance": items.task.chance, "majority": items.task.majority},
        "chosen": best,
        "methods": rows,
        "front": [_verdict(verdict, objective.margin) for verdict in front],
        "commit": git_commit(),
    }


def _row(chosen: Chosen, margin: float) -> dict[str, Any]:
    blank = {"chain": None, "length": None, "search": None, "selection": None, "held_out": None}
    made = {} if chosen.choice is None else _verdict(chosen.choice, margin)
    spent = {
        "evaluations": chosen.evaluations,
        "search_layer_executions": round(chosen.search_layer_executions),
        "layer_executions": round(chosen.layer_executions),
    }
    return {"method": chosen.method, **blank, **made, "finalists": len(chosen.finalists), **spent}


def _verdict(verdict: Verdict, margin: float) -> dict[str, Any]:
    sets = {"search": verdict.search, "selection": verdict.selection, "held_out": verdict.held_out}
    described = {name: None if paired is None else describe(paired, margin) for name, paired in sets.items()}
    return {"chain": str(verdict.chain), "length": len(verdict.chain), **described}


def describe(paired: Paired, margin: float) -> dict[str, Any]:
    """Counts, accuracy with its interval, the paired difference with its, and the p-values; None for a rate of no items."""
    low, high = paired.interval()
    rate = wilson(paired.right, paired.n)
    return {
        "n": paired.n,
        "base_right": paired.base_right,
        "right": paired.right,
        "gained": paired.gained,
        "lost": paired.lost,
        "accuracy": [rate.rate, rate.low, rate.high],
        "difference": [paired.difference if paired.n else None, low, high],
        "lower_bound": paired.lower_bound(),
        "not_worse": paired.not_worse(margin),
        "p_not_worse": paired.p_not_worse(margin),
        "p_better": paired.p_better,
        "p_two_sided": paired.p_two_sided,
    }


def _card(result: dict[str, Any]) -> dict[str, Any]:
    row = next(row for row in result["methods"] if row["method"] == result["chosen"])
    told = row["held_out"]
    shown = f"{told['right'] / told['n']:.3f} (base {told['base_right'] / told['n']:.3f})" if told["n"] else "unknown"
    return {
        "task": result["task"],
        "found by": f"{row['method']}, on {result['calibration']}",
        "held-out items": told["n"],
        "accuracy on them": shown,
    }
