"""What the tree search is compared with: random chains, local searches, a random walk; with the same ask and tell."""

from collections import ChainMap
from collections.abc import Container, Sequence
from typing import Any, Protocol

import numpy as np

from cola_search.chain import Chain
from cola_search.lessons import NO_LESSONS, Lessons
from cola_search.local_search import LocalSearch
from cola_search.moves import edited
from cola_search.outcome import Ledger, Outcome, Score, check_told
from cola_search.priors import check_table
from cola_search.random_chains import RandomChains
from cola_search.search_settings import SearchSettings
from cola_search.stopping import finished
from cola_search.tree_search import Search


class Proposer(Protocol):
    """A way to come by chains.

    floor: a length below which it proposes no chain; it may fall once the base's score is learnt.
    """

    floor: int

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
) -> "Searcher":
    """The search of one sample that settings.algorithm names.

    The lessons are for mcts and the local searches, which try the menu first and begin their history with the changes.
    random draws from the prior and from nothing else; drllm_released does not even have the prior.
    Raises UserError if the settings or the prior do not fit a model of num_layers layers.
    """
    settings.check_fits(num_layers)
    table = check_table(prior, num_layers)
    neighbours: int | None = settings.neighbours or settings.wave
    match settings.algorithm:
        case "mcts":
            return Search(num_layers, settings, table, rng, lessons)
        case "random":
            return Baseline(num_layers, settings, RandomChains(num_layers, settings, table, rng))
        case "drllm_released":
            return Baseline(num_layers, settings, ReleasedWalk(num_layers, rng))
        case "greedy":
            width, neighbours = 1, settings.neighbours
        case "hill_climbing":
            width = 1
        case _:
            width = settings.beam_width
    local = LocalSearch(num_layers, settings, table, rng, width, neighbours, lessons)
    return Baseline(num_layers, settings, local)


class Baseline:
    """The search of one sample by a proposer, with the ledger, the budget and the stop rules of Search."""

    def __init__(self, num_layers: int, settings: SearchSettings, proposer: Proposer) -> None:
        self._settings = settings
        self._proposer = proposer
        self._ledger = Ledger(num_layers)
        self._asked: list[Chain] = []
        self._exhausted = False

    @property
    def done(self) -> bool:
        """True iff there is nothing left to ask for."""
        if self._asked or not self._ledger.scores:
            return False
        return self._exhausted or finished(self._ledger, self._settings, self._proposer.floor)

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
        seen: ChainMap[Chain, Any] = ChainMap(self._ledger.scores, wave)  # type: ignore[arg-type]
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
        check_told(self._asked, chains, scores)
        self._ledger.record(chains, scores, layer_executions)
        self._proposer.learn(chains, scores)
        self._asked = []

    def outcome(self) -> Outcome:
        """All that was found so far; there is no tree."""
        return self._ledger.outcome(tree=[])


Searcher = Search | Baseline


class ReleasedWalk:
    """The search of Dr.LLM as its released code runs it: a random walk of edits that compound.

    Its tree never branches, so selection decides nothing. A step is one of four actions with equal probability, at a
    random place: skip 1, skip 2, repeat 1 layer 0 times (which does nothing), repeat 1 layer once. Children have at
    most 56 layers, or those of a deeper model. It has no other caps and no prior, so settings that say otherwise are
    refused. Source: Dr.LLM (arxiv.org/abs/2510.12773), released data_generation.py. Differs from the code: the walk ends
    before a chain would be empty.
    """

    ACTIONS = ((1, 0), (2, 0), (1, 1), (1, 2))  # (size of the block, runs)
    LONGEST = 56

    def __init__(self, num_layers: int, rng: np.random.Generator) -> None:
        self.floor = 1
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
