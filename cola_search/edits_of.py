"""The edits that a chain differs from the whole model by, each undone alone."""

from itertools import pairwise

from cola_search.chain import Chain

Jump = tuple[int, int]  # (layer before, layer after) where a chain does not go on with the next layer


def undone_chains(chain: Chain, num_layers: int) -> list[Chain]:
    """For each edit of the chain, the chain with that edit undone and all others kept; none where it is the only one,
    for what is left then is the whole model.

    An edit is a jump: forward it is a skip of the layers between, and undoing it runs them; backward it is a repeat, and
    undoing it takes out every run up to the first layer that comes after the repeated block. The same jump at several
    places (the runs of one repeat, the same gap in each of them) is one edit. Skipping all last layers is one, too.
    """
    jumps: dict[Jump, list[int]] = {}
    for place, (before, after) in enumerate(pairwise((-1, *chain, num_layers))):
        if after != before + 1:
            jumps.setdefault((before, after), []).append(place)
    undone = [_undone(chain, jump, places) for jump, places in jumps.items()]
    return [other for other in undone if other != Chain.identity(num_layers)]


def _undone(chain: Chain, jump: Jump, places: list[int]) -> Chain:
    before, after = jump
    if after > before:
        parts = [chain[start:end] for start, end in pairwise((0, *places, len(chain)))]
        between = tuple(range(before + 1, after))
        return Chain(sum((between + part for part in parts[1:]), parts[0]))
    again: set[int] = set()
    for place in places:
        end = next((p for p in range(place, len(chain)) if chain[p] > before), len(chain))
        again.update(range(place, end))
    return Chain(layer for place, layer in enumerate(chain) if place not in again)
