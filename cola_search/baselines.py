"""What the tree search is compared with: random chains, local searches, a random walk; with the same ask and tell."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Protocol

import numpy as np

from cola_search.chain import Chain
from cola_search.lessons import NO_LESSONS, Lessons
from cola_search.moves import State, edit_kinds, edit_weights, edited
from cola_search.outcome import Ledger, Outcome, Score
from cola_search.priors import KEEP, check_table
from cola_search.rewards import reward_rule
from cola_search.settings import SearchSettings
from cola_search.space import EditsSpace, make_space, renewed
from cola_search.stopping import goal_reached, out_of_budget
from cola_search.tree_search import Search

MAX_DRAWS = 1000  # draws in a row that give nothing new, after which a space counts as exhausted


class Searcher(Protocol):
    """What Search and Baseline have in common."""

    @property
    def done(self) -> bool: ...
    def ask(self) -> list[Chain]: ...
    def tell(self, chains: Sequence[Chain], scores: Sequence[Score], layer_executions: float = 0.0) -> None: ...
    def outcome(self) -> Outcome: ...


class Proposer(Protocol):
    """A way to come by chains."""

    def propose(self, seen: Container[Chain]) -> Chain | None:
        """The next chain to look at, which may have been seen; None if there is none before the next learn()."""

    def learn(self, chains: Sequence[Chain], scores: Sequence[Score]) -> None:
        """Takes in the scores of the chains that were proposed and not seen before."""


def make_search(
    settings: SearchSettings,
    num_layers: int,
    prior: np.ndarray,
    rng: np.random.Generator,
    lessons: Lessons = NO_LESSONS,
) -> Searcher:
    """The search of one sample that settings.algorithm names. The lessons are for mcts; baselines do without."""
    table = check_table(prior, num_layers)
    match settings.algorithm:
        case "mcts":
            return Search(num_layers, settings, table, rng, lessons)
        case "random":
            return Baseline(num_layers, settings, table, rng, RandomChains(num_layers, settings, table, rng))
        case "drllm_released":
            return Baseline(num_layers, settings, table, rng, ReleasedWalk(num_layers, rng))
        case "greedy":
            local = LocalSearch(num_layers, settings, table, rng, width=1, neighbours=settings.neighbours)
        case "hill_climbing":
            local = LocalSearch(
                num_layers, settings, table, rng, width=1, neighbours=settings.neighbours or settings.wave
            )
        case _:
            width = settings.beam_width
            local = LocalSearch(
                num_layers, settings, table, rng, width, neighbours=settings.neighbours or settings.wave
            )
    return Baseline(num_layers, settings, table, rng, local)


class Baseline:
    """The search of one sample by a proposer, with the book, the budget and the stop rules of Search."""

    def __init__(
        self, num_layers: int, settings: SearchSettings, table: np.ndarray, rng: np.random.Generator, proposer: Proposer
    ) -> None:
        self._settings = settings
        self._proposer = proposer
        self._floor = make_space(num_layers, table, settings, rng).floor
        self._ledger = Ledger(num_layers)
        self._asked: list[Chain] = []
        self._exhausted = False

    @property
    def done(self) -> bool:
        """True iff there is nothing left to ask for."""
        if self._asked or not self._ledger.scores:
            return False
        stopped = out_of_budget(self._ledger, self._settings) or goal_reached(self._ledger, self._settings, self._floor)
        return stopped or self._exhausted

    def ask(self) -> list[Chain]:
        """The next wave of distinct chains, none of them scored before; empty iff the search is done."""
        if self._asked:
            raise RuntimeError("ask() before the scores of the last wave were told")
        if self.done:
            return []
        if not self._ledger.scores:
            self._ledger.simulations += 1
            self._asked = [Chain.identity(self._ledger.num_layers)]
        else:
            self._asked = list(self._wave())
            self._exhausted = not self._asked
        return list(self._asked)

    def _wave(self) -> dict[Chain, None]:
        wave: dict[Chain, None] = {}
        seen = _Either(self._ledger.scores, wave)
        size = self._settings.wave_size(len(self._ledger.scores))
        while len(wave) < size and self._ledger.simulations < self._settings.simulations:
            chain = self._proposer.propose(seen)
            if chain is None:
                break
            self._ledger.simulations += 1
            if chain not in seen:
                wave[chain] = None
        return wave

    def tell(self, chains: Sequence[Chain], scores: Sequence[Score], layer_executions: float = 0.0) -> None:
        """Takes in the scores of the chains of the last ask, in its order, and the layer executions that they cost."""
        if list(chains) != self._asked or len(scores) != len(self._asked):
            raise ValueError(
                "tell() takes exactly the chains of the last ask(), in the same order, with one score each"
            )
        self._ledger.record(chains, scores, layer_executions)
        self._proposer.learn(chains, scores)
        self._asked = []

    def outcome(self) -> Outcome:
        """All that was found so far; there is no tree."""
        return self._ledger.outcome(tree=[])


class _Either:
    """Membership in either of two containers."""

    def __init__(self, first: Container[Chain], second: Container[Chain]) -> None:
        self._first, self._second = first, second

    def __contains__(self, chain: object) -> bool:
        return chain in self._first or chain in self._second


class RandomChains:
    """Distinct chains drawn from the prior inside the caps: no search at all, at the same budget.

    space=partial: every layer in turn is edited with its probability, so no position is preferred. space=edits: as many
    random edits one after the other, at least one.
    """

    def __init__(self, num_layers: int, settings: SearchSettings, table: np.ndarray, rng: np.random.Generator) -> None:
        self._settings = settings
        self._rng = rng
        self._table = table
        self._longest = settings.longest(num_layers)
        self._kinds = edit_kinds(settings)
        weights = edit_weights(table, self._kinds)
        self._choices = np.cumsum(weights, axis=1)  # [L, K]; a uniform number above the last entry keeps the layer
        self._space = EditsSpace(num_layers, table, replace(settings, temperature=1.0), rng)

    def propose(self, seen: Container[Chain]) -> Chain | None:
        """A chain that was not seen; None if many draws gave none."""
        draw = self._draw_partial if self._settings.space == "partial" else self._draw_edits
        drawn = (draw() for _ in range(MAX_DRAWS))
        return next((chain for chain in drawn if chain is not None and chain not in seen), None)

    def learn(self, chains: Sequence[Chain], scores: Sequence[Score]) -> None:
        """Learns nothing."""

    def _draw_partial(self) -> Chain | None:
        """A chain drawn layer by layer, None if it broke a cap."""
        layers: list[int] = []
        layer, edits = 0, 0
        while layer < len(self._table):
            kind = int(np.searchsorted(self._choices[layer], self._rng.random(), side="right"))
            size, runs = self._kinds[kind] if kind < len(self._kinds) else (1, 1)
            edits += runs != 1
            layers += list(range(layer, layer + size)) * runs
            layer += size
        if edits > (self._settings.max_edits or edits) or not self._settings.min_length <= len(layers) <= self._longest:
            return None
        return Chain(layers) if layers else None

    def _draw_edits(self) -> Chain:
        """The identity chain after a random number of random edits."""
        state = self._space.root()
        for _ in range(max(1, self._rng.binomial(len(self._table), 1 - self._table[:, KEEP].mean()))):
            moves = self._space.moves(state)
            if len(moves.ids):
                state = self._space.child(state, moves.ids[0])
        return state.chain


class LocalSearch:
    """The best `width` chains so far, and `neighbours` untried single edits of each, round by round.

    width 1 with all neighbours is greedy search, with a few at a time hill climbing; a larger width is beam search. It
    ends when no kept chain has an untried neighbour. Edits are those of the edits space, whatever search.space says, in the
    order that its temperature and cost exponent give.
    """

    def __init__(
        self,
        num_layers: int,
        settings: SearchSettings,
        table: np.ndarray,
        rng: np.random.Generator,
        width: int,
        neighbours: int | None,
    ) -> None:
        self._space = EditsSpace(num_layers, table, settings, rng)
        self._reward = reward_rule(settings.reward)
        self._longest = settings.longest(num_layers)
        self._width, self._neighbours = width, neighbours
        root = self._space.root()
        self._states: dict[Chain, State] = {root.chain: root}
        self._best: list[tuple[float, Chain]] = []
        self._untried: dict[Chain, Iterator[State]] = {}
        self._queue: Iterator[State] = iter(())
        self._in_flight = False

    def propose(self, seen: Container[Chain]) -> Chain | None:
        """The next neighbour of this round that was not seen, None at the end of the round or of the search."""
        state = next((state for state in self._queue if state.chain not in seen), None)
        if state is None and not self._in_flight:
            self._queue = self._round(seen)
            state = next(self._queue, None)
        if state is None:
            return None
        self._in_flight = True
        self._states.setdefault(state.chain, state)
        return state.chain

    def _round(self, seen: Container[Chain]) -> Iterator[State]:
        """The neighbours to try of each kept chain, distinct and not seen."""
        found: dict[Chain, State] = {}
        for _, chain in self._best:
            if chain not in self._untried:
                self._untried[chain] = self._neighbourhood(self._states[chain])
            new = (s for s in self._untried[chain] if s.chain not in seen and s.chain not in found)
            found |= {state.chain: state for state in islice(new, self._neighbours)}
        return iter(found.values())

    def _neighbourhood(self, state: State) -> Iterator[State]:
        """All single edits, in an order that is made anew when the history has grown."""
        moves, tried = self._space.moves(state), 0
        while tried < len(moves.ids):
            yield self._space.child(state, moves.ids[tried])
            tried += 1
            moves = renewed(self._space, state, moves, tried)

    def learn(self, chains: Sequence[Chain], scores: Sequence[Score]) -> None:
        """Keeps the best chains; of equal rewards the earlier one. A chain with an error is never kept."""
        for chain, score in zip(chains, scores, strict=True):
            self._space.history.learn(self._states[chain], score)
        told = [
            (self._reward(score, len(chain), self._longest), chain)
            for chain, score in zip(chains, scores, strict=True)
            if score.error is None
        ]
        self._best = sorted(self._best + told, key=lambda pair: -pair[0])[: self._width]
        self._in_flight = False


class ReleasedWalk:
    """The search of Dr.LLM as its released code runs it: a random walk of edits that compound.

    Its tree never branches, so selection decides nothing. A step is one of four actions with equal probability, at a
    random place: skip 1, skip 2, repeat 1 layer 0 times (which does nothing), repeat 1 layer once. Children have at
    most 56 layers, or those of a deeper model. Source: Dr.LLM (arxiv.org/abs/2510.12773), released data_generation.py. Differs
    from the code: the walk ends before a chain would be empty.
    """

    ACTIONS = ((1, 0), (2, 0), (1, 1), (1, 2))  # (size of the block, runs)
    LONGEST = 56

    def __init__(self, num_layers: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self._chain = Chain.identity(num_layers)
        self._longest = max(self.LONGEST, num_layers)

    def propose(self, seen: Container[Chain]) -> Chain | None:
        """The next chain of the walk, which may have been seen; None at its end."""
        length = len(self._chain)
        if length == 1:
            return None
        legal = [a for a in self.ACTIONS if a[0] < length and length + a[0] * (a[1] - 1) <= self._longest]
        size, runs = legal[int(self._rng.integers(len(legal)))]
        start = int(self._rng.integers(length - size + 1))
        self._chain = edited(self._chain, start, size, runs)
        return self._chain

    def learn(self, chains: Sequence[Chain], scores: Sequence[Score]) -> None:
        """Learns nothing."""
