"""Who is dropped, and after how many items."""

from objective_fakes import items, view

from cola_search.chain import Chain
from cola_search.objective.racing import halving, race, stages

BASE = Chain.identity(8)
SHARES = [0.9, 0.0, 0.0, 0.3, 0.01, 0.0, 0.5, 0.0]
ITEMS = items(1000, SHARES)


def test_every_stage_doubles_and_the_last_is_all() -> None:
    assert list(stages(1000, 32)) == [32, 64, 128, 256, 512, 1000]
    assert list(stages(20, 32)) == [20] and list(stages(64, 32)) == [32, 64]


def test_a_bad_chain_is_dropped_after_few_items_and_a_good_one_sees_all() -> None:
    seen = view(ITEMS)
    bad, good = BASE.skip(0, 1), BASE.skip(1, 2)
    (first, second) = race(seen, [bad, good], first=32, margin=0.02)
    assert not first.finished and seen.seen(bad) == 32
    assert second.finished and seen.seen(good) == 1000 and seen.finished() == [good]


def test_the_worse_a_chain_the_sooner_it_is_dropped() -> None:
    seen = view(ITEMS)
    race(seen, [BASE.skip(layer, 1) for layer in (0, 3, 4)], first=32, margin=0.0)
    counts = [seen.seen(BASE.skip(layer, 1)) for layer in (0, 3, 4)]
    assert counts == sorted(counts) and counts[0] < counts[-1]


def test_against_a_rival_that_is_better_a_chain_is_dropped_that_the_base_would_let_pass() -> None:
    some = items(1000, [0.3] + [0.0] * 7)
    seen = view(some)
    worse = BASE.skip(0, 1)
    assert not race(seen, [worse], first=32, margin=0.0, rival=BASE.skip(1, 1))[0].finished
    assert race(view(some), [worse], first=32, margin=0.9)[0].finished


def test_halving_finds_the_layer_that_is_needed_least() -> None:
    seen = view(items(1000, [0.9, 0.3, 0.4, 0.3, 0.05, 0.3, 0.5, 0.3]))
    chains = [BASE.skip(layer, 1) for layer in range(8)]
    assert halving(seen, chains, first=32) == [BASE.skip(4, 1)]
    assert seen.evaluations < 8 * 1000


def test_halving_keeps_as_many_as_are_wanted_best_first() -> None:
    kept = halving(view(ITEMS), [BASE.skip(layer, 1) for layer in (0, 3, 6, 4)], first=250, keep=3)
    assert kept == [BASE.skip(layer, 1) for layer in (4, 3, 6)]
