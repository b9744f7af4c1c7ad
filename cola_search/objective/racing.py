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
    view: View,
    chains: Sequence[Chain],
    first: int,
    margin: float,
    rival: Chain | None = None,
    level: float = LEVEL,
    halve: bool = False,
) -> list[Standing]:
    """The standing of every chain, in the order given, after a race against a rival (None: the base).

    After each stage a chain is dropped if the upper bound of its difference to the rival is below -margin: so far it is
    worse by more than that; with `halve`, the worse half of those that are left goes as well, except at the end. Differs
    from F-Race (Birattari et al. 2002), which drops by a Friedman test: the rival is fixed here, so a paired bound does.
    Where the view's limit ends the race, the best so far go to the end while it lasts.
    """
    rivals = [] if rival is None else [rival]
    alive = list(dict.fromkeys(chains))
    for upto in stages(len(view), first) if alive else ():
        ahead = advance(view, [*rivals, *alive], upto)
        short = not set(alive) <= set(ahead)
        if short:
            best = view.within([*rivals, *_ranked(view, alive, ahead)], len(view))
            alive = [chain for chain in best if chain in alive]
        alive = [chain for chain in alive if view.compare(chain, rival).upper_bound(level) >= -margin]
        if short or not alive:
            break
        if halve and upto < len(view):
            alive = better_half(view, alive)
    finished = set(alive)
    return [Standing(chain, view.compare(chain), chain in finished) for chain in chains]


def better_half(view: View, chains: Sequence[Chain]) -> list[Chain]:
    """The half (rounded up) that the fewest of the others dominate, which are those of more merit that are no longer."""
    merit = {chain: view.merit(chain) for chain in chains}
    above = {one: sum(merit[other] > merit[one] and len(other) <= len(one) for other in chains) for one in chains}
    return sorted(chains, key=lambda chain: (above[chain], -merit[chain], len(chain), chain))[: (len(chains) + 1) // 2]


def halving(view: View, chains: Sequence[Chain], first: int, keep: int = 1) -> list[Chain]:
    """The best `keep` chains by merit, best first: after each stage the better half goes on.

    Source: successive halving (Karnin et al. 2013; arxiv.org/abs/1502.07943). Differs from the papers: the subsets are
    nested, so nothing is scored twice, and double, so every stage costs the same. Where the view's limit ends it, the
    best so far of those that were looked at are kept, and enough is left to look at them to the end.
    """
    alive = list(dict.fromkeys(chains))
    for upto in stages(len(view), first):
        ahead = advance(view, alive, upto, keep)
        short = len(ahead) < len(alive)
        alive = _ranked(view, [chain for chain in alive if view.seen(chain)], ahead)
        alive = alive[: max(keep, (len(alive) + 1) // 2)]
        if short or len(alive) <= keep:
            break
    return alive[:keep]


def advance(view: View, chains: Sequence[Chain], upto: int, keep: int = 1) -> list[Chain]:
    """Looks at the chains up to `upto` items, as far as the view's limit lets it; returns those that it looked at.

    Enough of the limit is held back to take `keep` of the chains to the last item, though not more than half of what is left,
    unless a single chain needs more.
    """
    prices = sorted(view.price([chain], len(view), upto) for chain in chains)
    half = (view.limit - view.layer_executions) / 2
    kept = max(prices[-1], min(sum(prices[-keep:]), half))
    return view.within(chains, upto, reserve=view.price([view.base], len(view), upto) + kept)


def _ranked(view: View, chains: Sequence[Chain], ahead: Sequence[Chain]) -> list[Chain]:
    """The chains, best first by merit; but those that were not looked at as far as the others come last."""
    return sorted(chains, key=lambda chain: (chain not in ahead, -view.merit(chain), len(chain), chain))
