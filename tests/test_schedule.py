"""In which order one step runs the layers of many chains."""

import numpy as np
import pytest

from cola_search.model.schedule import common_order, fewest, riders, thinned

REPEATS = [
    tuple(layer for layer in range(12) for _ in range(1 + (layer in twice)))
    for twice in ((), (1, 2), (4,), (4, 9), (7, 8))
]
BLOCKS = [tuple(range(12)), (*range(6), *range(2, 12)), (*range(9), *range(5, 12)), (*range(3), 7, 8, 3, 4, 11)]


def drawn(seed: int, layers: int = 12, many: int = 40) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    return [tuple(rng.integers(0, layers, rng.integers(1, 2 * layers)).tolist()) for _ in range(many)]


ALL = [REPEATS, BLOCKS, [(0,)], [(3, 3, 3)], drawn(1), drawn(2, many=3)]


def runs_in(chain: tuple[int, ...], order: list[int]) -> bool:
    rest = iter(order)
    return all(layer in rest for layer in chain)


def lowest_first(chains: list[tuple[int, ...]]) -> list[int]:
    """The order of always the lowest layer that any chain waits for."""
    order, left = [], list(chains)
    while left:
        order.append(min(chain[0] for chain in left))
        left = [rest for chain in left if (rest := chain[chain[0] == order[-1] :])]
    return order


@pytest.mark.parametrize("chains", ALL)
def test_every_position_runs_once_in_the_chains_order_with_others_of_its_layer(chains: list[tuple[int, ...]]) -> None:
    order = common_order(chains)
    batches = riders(order, chains)
    assert len(batches) == len(order) and all(batches)
    for layer, batch in zip(order, batches, strict=True):
        assert {chains[c][p] for c, p in batch} == {layer}
        assert [c for c, _ in batch] == sorted({c for c, _ in batch})
    for c, chain in enumerate(chains):
        assert [p for batch in batches for which, p in batch if which == c] == list(range(len(chain)))


@pytest.mark.parametrize("chains", ALL)
def test_an_order_is_no_longer_than_lowest_first_and_no_shorter_than_can_be(chains: list[tuple[int, ...]]) -> None:
    assert fewest(chains) <= len(common_order(chains)) <= len(lowest_first(chains))


def test_single_repeats_of_one_layer_each_run_together_in_no_more_layers_than_needed() -> None:
    assert len(common_order(REPEATS)) == fewest(REPEATS) == 18


def test_where_many_blocks_are_run_again_the_order_is_much_shorter_than_lowest_first() -> None:
    chains = [(*range(end), *range(start, 24)) for start in range(0, 24, 3) for end in range(start + 3, 25, 4)]
    assert len(common_order(chains)) < 0.75 * len(lowest_first(chains))


@pytest.mark.parametrize("chains", ALL)
def test_an_order_loses_what_none_of_the_chains_left_needs(chains: list[tuple[int, ...]]) -> None:
    order, left = common_order(chains), chains[::2]
    short = thinned(order, left)
    assert runs_in(tuple(short), order) and all(runs_in(chain, short) for chain in left)
    assert not any(all(runs_in(chain, short[:i] + short[i + 1 :]) for chain in left) for i in range(len(short)))
