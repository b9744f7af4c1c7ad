"""Racing: chains are compared on a growing subset of the items; bad ones are dropped early, good ones see all."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cola_search.chain import Chain
from cola_search.objective.board import View
from cola_search.objective.paired import LEVEL, Paired


class Standing(NamedTuple):
    """Where a race left a chain: how it compares with the base, and whether it saw all items."""

    chain: Chain
    paired: Paired
    finished: bool


def stages(items: int, first: int) -> Iterator[int]:
    """How many items are seen after each stage: `first`, then twice as many each time, at last all."""
    seen = min(first, items)
    while seen < items:
        yield seen
        seen = min(2 * seen, items)
    yield items


def race(
    view: View, chains: Sequence[Chain], first: int, margin: float, rival: Chain | None = None, level: float = LEVEL
) -> list[Standing]:
    """The standing of every chain, in the order given, after a race against a rival (None: the base).

    After each stage a chain is dropped if the upper bound of its difference to the rival is below -margin: so far it is
    worse by more than that. Differs from F-Race (Birattari et al. 2002), which drops by a Friedman test: the rival is
    fixed here, so a paired bound does.
    """
    alive = list(dict.fromkeys(chains))
    for upto in stages(len(view), first):
        view.see(alive if rival is None else [rival, *alive], upto)
        alive = [chain for chain in alive if view.compare(chain, rival).upper_bound(level) >= -margin]
        if not alive:
            break
    finished = set(alive)
    return [Standing(chain, view.compare(chain), chain in finished) for chain in chains]


def halving(view: View, chains: Sequence[Chain], first: int, keep: int = 1) -> list[Chain]:
    """The best `keep` chains by merit, best first: after each stage the better half goes on.

    Source: successive halving (Karnin et al. 2013; arxiv.org/abs/1502.07943). Differs from the papers: the subsets are
    nested, so nothing is scored twice, and double, so every stage costs the same.
    """
    alive = list(dict.fromkeys(chains))
    for upto in stages(len(view), first):
        view.see(alive, upto)
        alive.sort(key=lambda chain: (-view.merit(chain), len(chain), chain))
        alive = alive[: max(keep, (len(alive) + 1) // 2)]
        if len(alive) <= keep:
            break
    return alive[:keep]
