"""In which order one step runs layers, so that many chains ride together: each chain is a subsequence of that order.

A batch of a few rows costs what it takes to read the layer's weights, so the fewer batches the better. A shortest common
supersequence is NP-hard to find: two rules of thumb make one each, what nobody needs is taken out, and the shorter one is used.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

Chains = Sequence[tuple[int, ...]]
PULL = 1.2  # a chain pulls at the layer that it waits for with PULL ** (layers that it has left to run)


def common_order(chains: Chains) -> list[int]:
    """Layers of which every chain is a subsequence, as few as was found."""
    # whoever is behind, as after a repeat, catches up first
    order = thinned(merged(chains, lambda layer, _: -layer), chains)
    if len(order) == fewest(chains):
        return order
    return min(order, thinned(merged(chains, lambda _, pull: pull), chains), key=len)


def riders(order: Sequence[int], chains: Chains) -> list[list[tuple[int, int]]]:
    """Per layer of an order in which all chains are, the (chain, position) pairs that run then, by chain."""
    table, at = _table(chains), np.zeros(len(chains), dtype=np.int64)
    batches = []
    for layer in order:
        here = np.flatnonzero(table[np.arange(len(chains)), at] == layer)
        batches.append(list(zip(here.tolist(), at[here].tolist(), strict=True)))
        at[here] += 1
    return batches


def fewest(chains: Chains) -> int:
    """No order of fewer layers has all chains in it: each layer as often as in the chain that has it most often."""
    size = max(map(max, chains)) + 1
    return int(np.max([np.bincount(chain, minlength=size) for chain in chains], axis=0).sum())


def merged(chains: Chains, worth: Callable[[int, float], float]) -> list[int]:
    """Always the layer of most worth that a chain waits for, of several the lowest; all chains that wait for it go on.

    worth: of a layer, and of how hard the chains that wait for it pull. That alone is the weighted majority merge (Branke,
    Middendorf and Schneider, Improved heuristics and a genetic algorithm for finding short supersequences, 1998).
    """
    waiting: dict[int, list[tuple[tuple[int, ...], int]]] = defaultdict(list)
    pull: dict[int, float] = defaultdict(float)

    def wait(chain: tuple[int, ...], position: int) -> None:
        if position < len(chain):
            waiting[chain[position]].append((chain, position))
            pull[chain[position]] += PULL ** (len(chain) - position)

    for chain in chains:
        wait(chain, 0)
    order = []
    while waiting:
        layer = max(waiting, key=lambda one: (worth(one, pull[one]), -one))
        order.append(layer)
        del pull[layer]
        for chain, position in waiting.pop(layer):
            wait(chain, position + 1)
    return order


def thinned(order: Sequence[int], chains: Chains) -> list[int]:
    """The order without the layers that it can do without: each chain still finds its own in what comes before and behind."""
    table, every = _table(chains), np.arange(len(chains))
    left = np.array([len(chain) for chain in chains])
    needed = [left]  # how many layers of each chain must have run before the rest of the order, from its end on
    for layer in reversed(order):
        left = left - ((left > 0) & (table[every, left - 1] == layer))
        needed.append(left)
    kept, at = [], np.zeros(len(chains), dtype=np.int64)
    for layer, after in zip(order, needed[-2::-1], strict=True):
        if (at < after).any():
            kept.append(layer)
            at = at + (table[every, at] == layer)
    return kept


def _table(chains: Chains) -> np.ndarray:
    """The layers of every chain `[chains, longest + 1]`, filled up with -1."""
    table = np.full((len(chains), max(map(len, chains)) + 1), -1)
    for row, chain in zip(table, chains, strict=True):
        row[: len(chain)] = chain
    return table
