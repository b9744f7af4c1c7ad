"""Searches that are told of races instead of verdicts."""

import pytest
from objective_fakes import LAYERS, Item, board, items, view
from objective_fakes import judge as verdict

from cola_search import priors
from cola_search.baselines import make_search
from cola_search.chain import Chain
from cola_search.config import compose_settings
from cola_search.errors import UserError
from cola_search.objective.board import View
from cola_search.objective.methods import Found, drive, graded, judge, search_settings
from cola_search.objective.paired import Paired
from cola_search.objective.policies import greedy_removal
from cola_search.objective.racing import Standing
from cola_search.outcome import Score
from cola_search.seeding import generator
from cola_search.settings import Settings

BASE = Chain.identity(LAYERS)


def settings(*more: str) -> Settings:
    return compose_settings(["objective=dataset", "search=edits", "search.simulations=120", *more])


def searched(told: Settings, shares: list[float]) -> Found:
    seen = view(items(600, shares))
    table = priors.uniform(LAYERS)
    drive(seen, make_search(search_settings(told), LAYERS, table, generator(0, "task", 0)), told)
    return Found("tree", seen, 0.0)


@pytest.mark.parametrize("space", ["search=edits", "search=partial"])
def test_the_tree_finds_the_shortest_chain_that_is_not_worse(space: str) -> None:
    found = searched(settings(space), [0.5, 0.0, 0.4, 0.0, 0.5, 0.0, 0.3, 0.0])
    shortest = found.finalists("shorter")[0]
    assert set(shortest) >= {0, 2, 4, 6} and len(shortest) <= 5


def test_the_tree_is_no_worse_than_greedy_removal_at_the_same_cost() -> None:
    """Twelve of 24 layers do nothing, and the budget is enough for greedy removal to find four of them."""
    base, told = Chain.identity(24), settings("search.simulations=10000")
    shares = [0.9, *[0.0, 0.1, 0.0, 0.3] * 5, 0.0, 0.0, 0.5]
    shortest = {}
    for method in ("tree", "greedy"):
        seen = View(board(items(300, shares)), base, limit=24 * 6000)
        if method == "tree":
            drive(seen, make_search(search_settings(told), 24, priors.uniform(24), generator(0, "task", 0)), told)
        else:
            for chain in greedy_removal(seen, 32):
                judge(seen, [chain], told)
        shortest[method] = len(min((c for c in seen.finished() if seen.compare(c).not_worse(0.02)), key=len))
    assert shortest["tree"] <= shortest["greedy"] <= 20


def test_layers_that_are_needed_now_and_then_stay() -> None:
    assert searched(settings("objective.margin=0.02"), [0.2] * LAYERS).finalists("shorter") == []


def test_for_better_no_chain_is_longer_than_the_base() -> None:
    assert search_settings(settings("objective.goal=better")).longest(LAYERS) == LAYERS
    assert search_settings(settings()).longest(LAYERS) > LAYERS


def test_a_chain_that_was_dropped_is_wrong_and_worth_more_the_nearer_it_came() -> None:
    near, far = (Standing(BASE, Paired(100, 60, 2, lost), False) for lost in (12, 40))
    assert not graded(near, "shorter", 0.02).correct and not graded(far, "shorter", 0.02).correct
    assert graded(near, "shorter", 0.02).margin > graded(far, "shorter", 0.02).margin


def test_right_means_not_worse_for_shorter_and_more_accurate_for_better() -> None:
    level = Standing(BASE, Paired(1000, 600, 20, 20), True)
    assert graded(level, "shorter", 0.02).correct and not graded(level, "better", 0.02).correct
    assert graded(Standing(BASE, Paired(1000, 600, 60, 20), True), "better", 0.02).correct


def test_late_edits_do_not_come_first_and_chains_compete_in_large_waves() -> None:
    told = search_settings(settings("search.wave=8"))
    assert (told.cost_exponent, told.wave_ramp) == (0.0, 1.0) and told.wave >= 32


def test_a_finished_chain_that_is_worse_than_the_base_is_no_rival() -> None:
    seen = view(items(1000, [0.3] + [0.0] * 7))
    seen.see([BASE.skip(0, 1)], 1000)
    (standing,) = judge(seen, [BASE.skip(0, 2)], settings("objective.goal=better"))
    assert not standing.finished and seen.seen(standing.chain) < 1000


def test_the_finalists_of_better_hold_the_runners_up_too() -> None:
    seen = view(items(50, [0.0] * LAYERS))
    chains = [BASE.skip(layer, 1) for layer in range(LAYERS)]
    seen.see(chains, 50)
    found = Found("tree", seen, 5.0)
    assert len(found.finalists("better")) == LAYERS and len(found.finalists("shorter")) == 1
    assert found.layer_executions == seen.layer_executions + 5.0


def test_a_short_chain_that_was_lucky_hides_no_longer_one_among_the_finalists_of_shorter() -> None:
    seen = view(items(200, [0.0, 0.0, 0.0, 0.2, 0.1, 0.0, 0.0, 0.0]))
    lucky, worse, worst = BASE.skip(0, 3), BASE.skip(4, 1), BASE.skip(3, 1)
    seen.see([worst, worse, lucky], 200)
    assert Found("tree", seen, 0.0).finalists("shorter") == [lucky, worse]
    assert Found("tree", seen, 0.0).finalists("better") == [lucky, worse, worst]


def test_settings_that_cannot_be_are_refused_by_key() -> None:
    for override, message in (
        ("objective.items=1", r"objective\.items=1 must be at least 4"),
        ("objective.selection=1", r"objective\.selection=1\.0 is a share"),
        ("objective.margin=0", r"objective\.margin=0\.0 must lie between"),
        ("objective=nope", r"objective=nope does not exist"),
    ):
        with pytest.raises(UserError, match=message):
            compose_settings([override])


@pytest.mark.parametrize("override", ["objective.export=true", "objective.goal=better"])
def test_what_a_menu_does_not_do_is_refused_with_a_remedy(override: str) -> None:
    with pytest.raises(UserError, match=f"{override} is not for objective=menu: .*objective=dataset"):
        compose_settings(["objective=menu", override])
    compose_settings(["objective=dataset", override])


def test_a_finalist_of_shorter_is_shorter_than_the_base() -> None:
    seen = view(items(50, [0.0] * 7 + [0.5]))
    as_long, longer = BASE.skip(0, 1).repeat(0, 1, 1), BASE.repeat(0, 1, 1)
    seen.see([as_long, longer], 50)
    found = Found("tree", seen, 0.0)
    assert found.finalists("shorter") == [] and found.finalists("better") == [as_long]


@pytest.mark.parametrize("goal", ["shorter", "better"])
def test_a_chain_without_a_verdict_on_many_items_is_no_finalist(goal: str) -> None:
    often, seldom = BASE.skip(0, 2), BASE.skip(0, 1)
    failing = {often: 6, seldom: 20}  # on every item whose number these divide

    def failed(item: Item, chain: Chain) -> Score:
        score = verdict(item, chain)
        fails = chain in failing and int(item.id) % failing[chain] == 1
        return Score(False, float("nan"), error="the grader failed") if fails else score

    seen = View(board(items(100, [0.0] * LAYERS), by=failed), BASE)
    seen.see([often, seldom], 100)
    assert Found("tree", seen, 0.0).finalists(goal) == [seldom]
