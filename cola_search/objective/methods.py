"""The ways to come by one chain for a whole set of items; each gives the chains that stood up to the search items."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from cola_search import priors
from cola_search.baselines import Searcher, make_search
from cola_search.chain import Chain
from cola_search.job import run_searches
from cola_search.model.loading import LoadedModel
from cola_search.objective import policies
from cola_search.objective.board import Board, View
from cola_search.objective.racing import Standing, halving, race
from cola_search.outcome import Score
from cola_search.prior_tables import PriorTables
from cola_search.scoring import ModelScorer
from cola_search.search_settings import SearchSettings
from cola_search.seeding import generator
from cola_search.settings import Settings

Method = Literal["tree", "random", "greedy", "shortgpt", "voids", "block", "learnt", "repeat"]
METHODS: tuple[Method, ...] = get_args(Method)
FACT_ITEMS = 128  # of the search items whose prompts the static policies look at, and that the prior is learnt from
ITEM_SIMULATIONS = 100  # of the search of one item that the prior is learnt from, at most
JUDGED = 0.95  # of the search items, at least: on how many a finalist has a verdict, be it right or wrong
WAVE = 32  # chains that compete, at least
ONE_ERROR = 0.84  # level of the bound that the search sees: one standard error; the choice is at 0.95, on other items
SHARPNESS = 10.0  # of the sigmoid through which the search sees a difference: ten points of accuracy are 1
TREE, RANDOM, LEARNT = range(3)  # what a generator is for


@dataclass(frozen=True)
class Lab:
    """What every method works with: the model, the settings, and the board of the search items."""

    settings: Settings
    model: LoadedModel
    scorer: ModelScorer
    board: Board

    @property
    def base(self) -> Chain:
        """The identity chain."""
        return Chain.identity(self.model.num_layers)

    @property
    def facts_items(self) -> Sequence[Any]:
        """The items that the static policies look at."""
        return self.board.samples[:FACT_ITEMS]

    @cached_property
    def stream(self) -> policies.StreamFacts:
        """What the layers do to the stream."""
        return policies.stream_facts(self.model, self.facts_items)

    @cached_property
    def void_share(self) -> np.ndarray:
        """Per layer the share of prompt tokens for which it is void, [L]."""
        return policies.void_share(self.model, self.facts_items, self.settings.prior.alpha)


@dataclass(frozen=True)
class Found:
    """What a method found on the search items, and what it spent on that."""

    method: str
    view: View
    extra: float  # layer executions besides those of the view: passes over prompts, searches of single items
    singles: int = 0  # evaluations in searches of single items

    @property
    def evaluations(self) -> int:
        """All (chain, item) pairs that the method had scored."""
        return self.view.evaluations + self.singles

    @property
    def layer_executions(self) -> float:
        """All that the method spent."""
        return self.view.layer_executions + self.extra

    def finalists(self, goal: str) -> list[Chain]:
        """The chains that the selection items decide between, of those that saw all search items.

        Goal `shorter`: the most accurate of each length below the base's, shortest first; not their Pareto front, where a
        short one that was lucky on the search items would hide every longer one. `better`: that front, and the eight most
        accurate, since the best on the search items is partly luck. Chains with errors on too many items (JUDGED) are left out.
        """
        chains = [chain for chain in self.view.finished() if self._allowed(chain, goal)]
        difference = {chain: self.view.compare(chain).difference for chain in chains}
        ranked = sorted(chains, key=lambda c: (-difference[c], len(c), c))
        best_of = {len(chain): chain for chain in reversed(ranked)}
        best = [best_of[length] for length in sorted(best_of)]
        if goal == "shorter":
            return best
        front = [chain for k, chain in enumerate(best) if all(difference[chain] > difference[c] for c in best[:k])]
        return front + [chain for chain in ranked[:8] if chain not in front]

    def _allowed(self, chain: Chain, goal: str) -> bool:
        if self.view.judged(chain) < JUDGED * len(self.view):
            return False
        layers = len(self.view.base)
        return len(chain) < layers if goal == "shorter" else self.method == "repeat" or len(chain) <= layers


def find(lab: Lab, method: Method, budget: float | None = None) -> Found:
    """What the method finds on the search items. `budget`: layer executions that it keeps to there, in all."""
    view = View(lab.board, lab.base, float("inf") if budget is None else budget)
    extra, singles, first = 0.0, 0, lab.settings.objective.first
    match method:
        case "tree" | "random":
            extra = _prior_cost(lab) if method == "tree" else 0.0
            view.limit -= extra
            drive(view, searcher(lab, method), lab.settings)
        case "greedy":
            for chain in policies.greedy_removal(view, first):
                judge(view, [chain], lab.settings)
        case "repeat":
            blocks = policies.repeated_blocks(lab.model.num_layers)
            judge(view, halving(view, blocks, first, keep=8), lab.settings)
        case _:
            chains, extra, singles = static_chains(lab, method, view.limit)
            view.limit -= extra
            judge(view, chains, lab.settings)
    return Found(method, view, extra, singles)


def searcher(lab: Lab, method: Literal["tree", "random"]) -> Searcher:
    """The search of the whole task; its end by cost is the view's limit."""
    settings = replace(search_settings(lab.settings), max_layer_executions=None)
    layers, task = lab.model.num_layers, lab.settings.task.name
    if method == "tree":
        # margins of single samples, which the changes are in, are another scale than a whole task's
        lessons = replace(PriorTables(lab.settings, lab.model).lessons, changes=None)
        return make_search(settings, layers, tree_prior(lab), generator(lab.settings.seed, task, TREE), lessons)
    table = priors.uniform(layers, settings.hazard, settings.skip_share)
    rng = generator(lab.settings.seed, task, RANDOM)
    return make_search(replace(settings, algorithm="random"), layers, table, rng)


def static_chains(lab: Lab, method: Method, budget: float) -> tuple[list[Chain], float, int]:
    """The chains of a static policy, one for every length; the layer executions and evaluations that finding them cost."""
    passes = float(lab.model.num_layers * len(lab.facts_items))
    match method:
        case "shortgpt":
            return policies.remove_lowest(lab.stream.influence), passes, 0
        case "block":
            return policies.remove_block(lab.stream.distance), passes, 0
        case "voids":
            return policies.remove_lowest(-lab.void_share), passes, 0
        case _:
            table, spent, evaluations = learnt_table(lab, budget)
            return policies.remove_lowest(-table[:, priors.SKIP]), spent, evaluations


def learnt_table(lab: Lab, budget: float) -> tuple[np.ndarray, float, int]:
    """The per-layer prior [L, 3] from prior.records, or else from a search of each of some search items; its cost.

    The single searches use the items' own gold answers, and take at most half of the budget: the chains that the prior
    gives have to be judged as well. Each begins with nothing computed, so that it costs the same whatever ran before it.
    The cost is in layer executions and in evaluations.
    """
    search, layers = lab.settings.search, lab.model.num_layers
    if lab.settings.prior.kind == "learnt":
        return PriorTables(lab.settings, lab.model).find([None], lab.scorer)[0].table, 0.0, 0
    uniform = priors.uniform(layers, search.hazard, search.skip_share)
    best: list[Chain] = []
    simulations = min(ITEM_SIMULATIONS, search.simulations)
    most = (simulations + 1) * search.longest(layers)  # the base comes first
    spent, evaluations, start = 0.0, 0, 0
    while some := lab.facts_items[start : start + _searchable(lab, (budget / 2 - spent) / most)]:
        start += len(some)
        for sample in some:
            lab.scorer.release(sample)
        rngs = [generator(lab.settings.seed, sample.id, LEARNT) for sample in some]
        searches = [make_search(replace(search, simulations=simulations), layers, uniform, rng) for rng in rngs]
        run_searches(lab.scorer, list(zip(some, searches, strict=True)))
        outcomes = [made.outcome() for made in searches]
        best += [outcome.candidates[0][0] for outcome in outcomes if outcome.candidates]
        spent += sum(outcome.layer_executions for outcome in outcomes)
        evaluations += sum(outcome.evaluations for outcome in outcomes)
        for sample in some:
            lab.scorer.release(sample)
    return (
        priors.learn_table(best, layers, search.hazard, search.skip_share, lab.settings.prior.strength),
        spent,
        evaluations,
    )


def _searchable(lab: Lab, affordable: float) -> int:
    return int(max(0, min(lab.settings.engine.samples_in_flight, affordable)))


def tree_prior(lab: Lab) -> np.ndarray:
    """The table [L, 3] of the tree: for voids, from the share over all tokens of the prompts looked at."""
    if lab.settings.prior.kind != "voids":
        return PriorTables(lab.settings, lab.model).find([None], lab.scorer)[0].table
    search = lab.settings.search
    return priors.from_skip_scores(lab.void_share, search.hazard, search.skip_share, lab.settings.prior.floor)


def _prior_cost(lab: Lab) -> float:
    return float(lab.model.num_layers * len(lab.facts_items)) if lab.settings.prior.kind == "voids" else 0.0


def search_settings(settings: Settings) -> SearchSettings:
    """The search for the goal: first not worse, then short; or by accuracy, with no chain longer than the base.

    Waves are large from the start, for the chains of a wave compete. Cheap edits do not come first: they are edits of late
    layers, which answer a single item right by luck but not many.
    """
    search = replace(settings.search, wave=max(WAVE, settings.search.wave), wave_ramp=1.0, cost_exponent=0.0)
    if settings.objective.goal == "shorter":
        return replace(search, reward="lexicographic")
    return replace(search, reward="margin", max_length=1.0)


def drive(view: View, search: Searcher, settings: Settings) -> None:
    """Runs a search to its end, or to the view's limit; every wave is a race among its chains too."""
    while not view.exhausted and (chains := search.ask()):
        before = view.layer_executions
        standings = judge(view, chains, settings, halve=True)
        scores = [graded(standing, settings.objective.goal, settings.objective.margin) for standing in standings]
        search.tell(chains, scores, view.layer_executions - before)


def judge(view: View, chains: Sequence[Chain], settings: Settings, halve: bool = False) -> list[Standing]:
    """The standings of chains after the race that the goal asks for: against the base, or against the best so far.

    That is the base itself as long as no chain that saw all items is more accurate. halve: against each other as well.
    """
    objective = settings.objective
    if objective.goal == "shorter":
        return race(view, chains, objective.first, objective.margin, halve=halve)
    best = max([view.base, *view.finished()], key=lambda chain: view.compare(chain).difference)
    return race(view, chains, objective.first, 0.0, rival=best, halve=halve)


def graded(standing: Standing, goal: str, margin: float) -> Score:
    """A race as a score. Right: not worse than the base by the margin (goal `better`: more accurate), on all items.

    Both are judged by the one-sided lower bound at one standard error. Of a chain that was dropped early it comes from few
    items and is low, so that what is not known of the chain counts against it. The margin of the score is how far the bound
    lies above what was asked, scaled.
    """
    excess = standing.paired.lower_bound(ONE_ERROR) + (margin if goal == "shorter" else 0.0)
    return Score(correct=standing.finished and excess > 0, margin=SHARPNESS * excess)
