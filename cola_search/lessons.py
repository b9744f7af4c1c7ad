"""What earlier samples teach the search of the next one: which chains to try first, and what editing a layer does."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple, Self

import numpy as np

from cola_search.chain import Chain
from cola_search.history import clipped
from cola_search.outcome import Outcome
from cola_search.records import Record
from cola_search.rewards import RIGHT
from cola_search.search_settings import SearchSettings

LARGEST_EDIT = 4  # layers; what an edit of more does says little of each
LEAST_SOLVED = 2  # a chain of a menu must have solved so many earlier samples: one alone says little of others
# The change of a layer is pulled to that of the others, as if so many of its edits had shown no difference.
SHRINKAGE = 5.0


@dataclass(frozen=True, eq=False)
class Lessons:
    """What was learnt from earlier samples, besides the table of a prior.

    right, wrong: chains to try first on a sample that the base has right, and on one that it has wrong.
    changes: [2, L] nats that skipping, and repeating, a layer adds to the margin beyond what edits of other layers do; or None.
    """

    right: Sequence[Chain] = ()
    wrong: Sequence[Chain] = ()
    changes: np.ndarray | None = None

    def menu(self, base_right: bool, num_layers: int, settings: SearchSettings) -> list[Chain]:
        """The distinct chains for this verdict that the model can run inside the caps, without the identity chain."""
        lengths = range(settings.min_length, settings.longest(num_layers) + 1)
        chains = dict.fromkeys(self.right if base_right else self.wrong)
        legal = [chain for chain in chains if max(chain) < num_layers and len(chain) in lengths]
        return [chain for chain in legal if chain != Chain.identity(num_layers)]


NO_LESSONS = Lessons()


class Searched(NamedTuple):
    """One searched sample, as far as there is something to learn from it.

    chains: (chain, right, margin) in the order in which they were scored, the identity chain first; margin is nan where
    there is none. tree: (row of the parent, index into chains) of each node, -1 for none; empty where there was no tree.
    """

    sample: str
    chains: Sequence[tuple[Chain, bool, float]]
    tree: Sequence[tuple[int, int]]

    @classmethod
    def of_record(cls, record: Record) -> Self:
        """What a record keeps; where stock transformers judged a chain, that verdict counts."""
        chains = [
            (Chain.parse(row.chain), record.is_right(row), math.nan if row.margin is None else row.margin)
            for row in record.chains
        ]
        return cls(record.sample, chains, [(row.parent, row.chain) for row in record.tree])

    @classmethod
    def of_outcome(cls, sample: str, outcome: Outcome) -> Self:
        """What a search found just now."""
        chains = [(chain, score.right, math.nan if score.error else score.margin) for chain, score, _ in outcome.chains]
        return cls(sample, chains, [row[:2] for row in outcome.tree])


def learn(searches: Iterable[Searched], num_layers: int, menu: int) -> Lessons:
    """The lessons of these searches, with menus of at most `menu` chains, each of which solved two samples or more."""
    solved: dict[bool, dict[Chain, set[str]]] = {True: defaultdict(set), False: defaultdict(set)}
    changes = Changes(num_layers)
    for searched in searches:
        base_right = bool(searched.chains) and searched.chains[0][1]
        for chain, right, _ in searched.chains[1:]:
            if right:
                solved[base_right][chain].add(searched.sample)
        changes.add(searched)

    def worth(chain: Chain) -> float:  # as the search's own reward has it: right first, then short
        return RIGHT + (1 - RIGHT) * max(0.0, 1 - len(chain) / num_layers)

    def menu_of(solved: dict[Chain, set[str]]) -> list[Chain]:
        often = {chain: samples for chain, samples in solved.items() if len(samples) >= LEAST_SOLVED}
        return greedy_menu(often, menu, worth)

    return Lessons(menu_of(solved[True]), menu_of(solved[False]), changes.mean())


def greedy_menu(
    solved: Mapping[Chain, AbstractSet[str]], size: int, worth: Callable[[Chain], float] = lambda chain: 1.0
) -> list[Chain]:
    """At most `size` chains, each the one that adds most to what the chains before it are worth to the earlier samples.

    solved: chain -> ids of the earlier samples that it solves. A sample counts as the chain of most worth that solves it;
    with the same worth for all that is greedy cover. Ties go to the shorter chain, then to lower layers. The menu of RE-PoLar
    (arxiv.org/abs/2609.31360) ranks by coverage alone; differs from the paper: greedy.
    """
    best: dict[str, float] = defaultdict(float)
    menu: list[Chain] = []

    def key(chain: Chain) -> tuple[float, int, Chain]:
        value = worth(chain)
        # fsum: the order of a set of texts, in which a plain sum would round, is another one in each process
        return -math.fsum(max(0.0, value - best[sample]) for sample in solved[chain]), len(chain), chain

    queue = [key(chain) for chain in solved]  # what a chain adds only falls, so that an old key is never too late in it
    heapify(queue)
    while queue and len(menu) < size:
        chain = queue[0][2]
        if (now := key(chain)) != queue[0]:
            heapreplace(queue, now)
            continue
        if now[0] == 0:
            break
        menu.append(chain)
        heappop(queue)
        best |= {sample: max(best[sample], worth(chain)) for sample in solved[chain]}
    return menu


class Changes:
    """What edits of each layer did to the margin, compared with the other edits of the same sample.

    Only differences within a sample are learnt: how much edits change the margin on the whole differs between samples, and
    the search of a new sample sees that soon by itself.
    """

    def __init__(self, num_layers: int) -> None:
        self._num_layers = num_layers
        self._sum = np.zeros((2, num_layers))  # of skips, of repeats
        self._count = np.zeros((2, num_layers))

    def add(self, searched: Searched) -> None:
        """Takes in the edits of one sample: those between the chains of a node and of its parent, if of few layers."""
        total, count = np.zeros((2, 2, self._num_layers))
        runs = [np.array(chain.counts(self._num_layers)) for chain, _, _ in searched.chains]
        margins = [clipped(margin) for _, _, margin in searched.chains]
        for parent, after in searched.tree:
            before = searched.tree[parent][1] if parent >= 0 else -1
            if min(before, after) < 0 or math.isnan(change := margins[after] - margins[before]):
                continue
            touched = np.stack([runs[before] > runs[after], runs[after] > runs[before]])
            if touched.sum() <= LARGEST_EDIT:
                total[touched] += change / max(1, touched.sum())
                count[touched] += 1
        mean = total.sum(axis=1, keepdims=True) / np.maximum(count.sum(axis=1, keepdims=True), 1)
        self._sum += total - count * mean
        self._count += count

    def mean(self) -> np.ndarray | None:
        """[2, L], see Lessons; layers that were edited seldom are near 0. None if no edit was counted."""
        if not self._count.any():
            return None
        mean: np.ndarray = self._sum / (self._count + SHRINKAGE)
        return mean
