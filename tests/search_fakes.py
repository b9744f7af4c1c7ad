"""Fake scorers for the tests of the search: bandits whose right answer is known, and a driver."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cola_search import priors
from cola_search.baselines import Searcher, make_search
from cola_search.chain import Chain
from cola_search.lessons import Lessons
from cola_search.outcome import Outcome, Score
from cola_search.search_settings import LOCAL_SEARCHES, SearchSettings

Judge = Callable[[Chain], Score]

CONF = Path(__file__).parents[1] / "conf" / "search"


def always_wrong(chain: Chain) -> Score:
    """A constant reward."""
    return Score(correct=False, margin=0.0)


def needs(*layers: int, num_layers: int) -> Judge:
    """Right iff all these layers run; the margin falls by one for each that is missing."""

    def judge(chain: Chain) -> Score:
        missing = len(set(layers) - set(chain))
        return Score(correct=missing == 0, margin=0.5 - missing - 0.01 * len(chain) / num_layers)

    return judge


def repeats(*layers: int) -> Judge:
    """Right iff these layers run more than once; the base is wrong."""

    def judge(chain: Chain) -> Score:
        missing = len(set(layers) - set(chain.repeated()))
        return Score(correct=missing == 0, margin=0.5 - missing)

    return judge


def searcher(
    num_layers: int = 12, seed: int = 0, menu: Sequence[Chain] = (), table: np.ndarray | None = None, **settings: object
) -> Searcher:
    """A search with these settings and the uniform prior; local searches have the one space that they know."""
    if settings.get("algorithm") in LOCAL_SEARCHES:
        settings = {"space": "edits", **settings}
    made = SearchSettings(**settings)  # type: ignore[arg-type]
    prior = priors.uniform(num_layers, made.hazard, made.skip_share) if table is None else table
    return make_search(made, num_layers, prior, np.random.default_rng(seed), Lessons(menu, menu))


def drive(search: Searcher, judge: Judge) -> Outcome:
    """The outcome of a whole search; every layer of every chain costs 1."""
    while chains := search.ask():
        search.tell(chains, [judge(chain) for chain in chains], float(sum(map(len, chains))))
    return search.outcome()


def find(judge: Judge, **arguments: object) -> Outcome:
    """The outcome of a search with these settings."""
    return drive(searcher(**arguments), judge)  # type: ignore[arg-type]
