"""Who is dropped, and after how many items."""

import pytest
from objective_fakes import items, view

from cola_search.chain import Chain
from cola_search.objective.racing import better_half, halving, race, stages

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


def test_a_race_of_none_is_over() -> None:
    assert race(view(ITEMS), [], first=32, margin=0.02) == []


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


def test_of_chains_that_compete_few_see_all_items_though_none_is_bad() -> None:
    chains = [BASE.skip(layer, 1) for layer in (1, 2, 5, 7)]
    seen = view(ITEMS)
    assert [standing.finished for standing in race(seen, chains, first=32, margin=0.02)] == [True] * 4
    competing = race(view(ITEMS), chains, first=32, margin=0.02, halve=True)
    assert sum(standing.finished for standing in competing) == 1


def test_chains_that_compete_and_saw_all_items_at_once_are_all_finished() -> None:
    chains = [BASE.skip(layer, 1) for layer in (1, 2, 5, 7)]
    assert all(standing.finished for standing in race(view(ITEMS), chains, first=1000, margin=0.02, halve=True))


def test_chains_that_compete_and_saw_all_items_for_want_of_budget_are_all_finished() -> None:
    seen = view(items(1000, [0.0] * 8))
    seen.limit = 36_500  # ends the race at its first stage
    standings = race(seen, [BASE.skip(layer, 1) for layer in range(8)], first=512, margin=0.02, halve=True)
    assert [s.chain for s in standings if s.finished] == seen.finished() and len(seen.finished()) > 1


def test_a_shorter_chain_goes_on_beside_a_better_one_and_what_both_beat_does_not() -> None:
    seen = view(ITEMS)
    better, shorter, beaten = BASE.skip(1, 1), BASE.skip(3, 3), BASE.skip(3, 1)
    seen.see([better, shorter, beaten], 200)
    assert better_half(seen, [beaten, shorter, better]) == [better, shorter]


def test_halving_finds_the_layer_that_is_needed_least() -> None:
    seen = view(items(1000, [0.9, 0.3, 0.4, 0.3, 0.05, 0.3, 0.5, 0.3]))
    chains = [BASE.skip(layer, 1) for layer in range(8)]
    assert halving(seen, chains, first=32) == [BASE.skip(4, 1)]
    assert seen.evaluations < 8 * 1000


@pytest.mark.parametrize("limit", [17_000, 20_000, 30_000, 50_000])
def test_a_race_keeps_to_the_limit_and_some_chains_see_all(limit: float) -> None:
    seen = view(items(1000, [0.0] * 8))
    seen.limit = limit
    standings = race(seen, [BASE.skip(layer, 1) for layer in range(8)], first=32, margin=0.02)
    assert seen.layer_executions <= limit
    assert 0 < sum(standing.finished for standing in standings) < 8


@pytest.mark.parametrize("limit", [17_000, 20_000, 23_000])
def test_halving_keeps_to_the_limit_and_leaves_enough_to_finish_what_it_kept(limit: float) -> None:
    seen = view(items(1000, [0.9, 0.3, 0.4, 0.3, 0.05, 0.3, 0.5, 0.3]))
    seen.limit = limit
    kept = halving(seen, [BASE.skip(layer, 1) for layer in range(8)], first=32)
    assert len(seen.within(kept, 1000)) == 1 and seen.layer_executions <= limit


def test_a_limit_that_is_too_low_for_one_chain_ends_the_race_with_nothing() -> None:
    seen = view(ITEMS)
    seen.limit = 100
    (standing,) = race(seen, [BASE.skip(1, 1)], first=32, margin=0.02)
    assert not standing.finished and halving(seen, [BASE.skip(1, 1)], first=32) == []
    assert seen.layer_executions <= 100 and seen.exhausted


def test_halving_keeps_as_many_as_are_wanted_best_first() -> None:
    kept = halving(view(ITEMS), [BASE.skip(layer, 1) for layer in (0, 3, 6, 4)], first=250, keep=3)
    assert kept == [BASE.skip(layer, 1) for layer in (4, 3, 6)]
