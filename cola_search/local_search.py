"""Local searches, from the best chains so far to their neighbours: greedy, hill climbing and beam search."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from cola_search.chain import Chain
from cola_search.lessons import NO_LESSONS, Lessons
from cola_search.moves import State
from cola_search.outcome import Score
from cola_search.rewards import reward_rule
from cola_search.search_settings import SearchSettings
from cola_search.space import make_space, renewed


class LocalSearch:
    """The best `width` chains so far, and `neighbours` untried single edits of each, round by round.

    width 1 with all neighbours is greedy search, with a few at a time hill climbing; a larger width is beam search. It
    ends when no kept chain has an untried neighbour. Neighbours are made by the edits space and tried in its order, which
    temperature, cost exponent and history decide. What earlier samples taught is used as in the tree search: the menu for the
    verdict of the base is the first round, and the history begins with the changes.

    floor: a length below which it proposes no chain.
    """

    def __init__(
        self,
        num_layers: int,
        settings: SearchSettings,
        table: np.ndarray,
        rng: np.random.Generator,
        width: int,
        neighbours: int | None,
        lessons: Lessons = NO_LESSONS,
    ) -> None:
        self._settings = replace(settings, space="edits")
        self._space = make_space(num_layers, table, self._settings, rng, lessons.changes)
        self._lessons = lessons
        self._reward = reward_rule(settings.reward)
        self._longest = settings.longest(num_layers)
        self._width, self._neighbours = width, neighbours
        self._root = self._space.root()
        self.floor = self._space.floor(self._root)
        self._states: dict[Chain, State] = {self._root.chain: self._root}
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
        if chains[0] == self._root.chain:
            self._open_menu(scores[0].right)

    def _open_menu(self, base_right: bool) -> None:
        menu = self._lessons.menu(base_right, len(self._root.chain), self._settings)
        states = [self._space.planted(chain) for chain in menu]
        self._queue = iter(states)
        self.floor = min([self.floor, *map(self._space.floor, states)])
