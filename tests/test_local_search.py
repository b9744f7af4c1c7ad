"""Greedy, hill climbing and beam search on bandits."""

import numpy as np
import pytest
from search_fakes import always_wrong, drive, find, needs, searcher

from cola_search import priors
from cola_search.baselines import make_search
from cola_search.chain import Chain
from cola_search.lessons import Lessons
from cola_search.outcome import Score
from cola_search.search_settings import SearchSettings

LOCAL = ("greedy", "hill_climbing", "beam")


def test_greedy_tries_every_single_edit_before_it_takes_the_best() -> None:
    outcome = find(needs(0, 5, num_layers=8), num_layers=8, algorithm="greedy", simulations=30, max_block=1)
    single = [chain for chain, _, _ in outcome.chains[1:17]]
    assert {len(chain) for chain in single} == {7, 9}
    assert len(outcome.chains[17][0]) in (6, 8)


def test_greedy_ends_where_no_single_edit_is_better() -> None:
    outcome = find(needs(0, 5, num_layers=8), num_layers=8, algorithm="greedy", simulations=1000, max_block=1)
    assert outcome.candidates[0][0] == (0, 5)
    assert outcome.simulations < 1000


@pytest.mark.parametrize("name", ["hill_climbing", "beam"])
def test_local_searches_reach_the_shortest_chain_where_rewards_lead_there(name: str) -> None:
    outcome = find(needs(0, 5, num_layers=12), algorithm=name, neighbours=4, simulations=300)
    assert outcome.candidates[0][0] == (0, 5)


def test_hill_climbing_edits_the_best_chain_so_far() -> None:
    search = searcher(algorithm="hill_climbing", neighbours=3, max_block=1, wave_ramp=16)
    for size in (1, 3):
        wave = search.ask()
        assert len(wave) == size
        scores = [Score(True, 1.0) if chain == wave[-1] else always_wrong(chain) for chain in wave]
        search.tell(wave, scores)
        best = wave[-1]
    assert all(abs(len(chain) - len(best)) == 1 for chain in search.ask())


def test_a_beam_edits_as_many_chains_as_it_is_wide() -> None:
    search = searcher(algorithm="beam", beam_width=2, neighbours=3, max_block=1, wave_ramp=16)
    for expected in (1, 3, 6):
        wave = search.ask()
        assert len(wave) == expected
        search.tell(wave, [Score(False, float(-sum(chain))) for chain in wave])


def test_a_chain_with_an_error_is_never_built_on() -> None:
    def judge(chain: Chain) -> Score:
        return Score(True, 1.0, error="broken") if len(chain) < 12 else always_wrong(chain)

    outcome = find(judge, algorithm="hill_climbing", neighbours=4, max_block=1, simulations=100)
    assert outcome.candidates == []
    assert min(len(chain) for chain, _, _ in outcome.chains) == 11


def test_a_local_search_tries_edits_in_the_order_that_the_settings_give() -> None:
    cheap_first = {"cost_exponent": 4.0, "temperature": 0.0, "neighbours": 1, "max_block": 1}
    search = searcher(algorithm="hill_climbing", space="edits", **cheap_first)
    search.tell(search.ask(), [Score(True, 1.0)], 12.0)
    assert search.ask() == [Chain(range(11))]  # to leave out the last layer is the cheapest edit


@pytest.mark.parametrize("name", LOCAL)
def test_a_local_search_tries_the_menu_for_the_verdict_of_the_base_first(name: str) -> None:
    lessons = Lessons(right=[Chain([0, 1]), Chain([2, 3, 4])], wrong=[Chain([5])])
    settings = SearchSettings(algorithm=name, space="edits", simulations=5, wave=1)  # type: ignore[arg-type]
    for right, menu in ((True, lessons.right), (False, lessons.wrong)):
        search = make_search(settings, 12, priors.uniform(12), np.random.default_rng(0), lessons)
        asked = [chain for chain, _, _ in drive(search, lambda chain, right=right: Score(right, 0.0)).chains]
        assert asked[1 : 1 + len(menu)] == menu
        assert len(asked) > 1 + len(menu)


def test_a_local_search_goes_on_from_a_chain_of_the_menu() -> None:
    menu = [Chain([0, 5, 7])]
    outcome = find(needs(0, 5, num_layers=12), algorithm="hill_climbing", menu=menu, wave=1, simulations=30)
    assert outcome.candidates[0][0] == (0, 5)


def test_a_local_search_is_not_solved_by_what_is_shortest_without_the_menu() -> None:
    table = np.tile([0.0, 0.9, 0.1], (6, 1))  # no layer is ever skipped
    menu = [Chain([0, 1, 2]), Chain([0, 1])]
    outcome = find(
        lambda chain: Score(True, 0.0), num_layers=6, table=table, algorithm="hill_climbing", menu=menu, wave=1
    )
    assert outcome.candidates[0][0] == (0, 1)


def test_the_history_of_a_local_search_begins_with_what_earlier_samples_taught() -> None:
    changes = np.zeros((2, 12))
    changes[0] = -8.0
    changes[0, 7] = 8.0
    settings = SearchSettings(
        algorithm="hill_climbing",
        space="edits",
        simulations=2,
        history=5.0,
        temperature=0.0,
        max_block=1,
        skip_share=1.0,
    )
    for lessons, asked in ((Lessons(changes=changes), True), (Lessons(), False)):
        search = make_search(settings, 12, priors.uniform(12, skip_share=1.0), np.random.default_rng(0), lessons)
        outcome = drive(search, lambda chain: Score(True, 1.0))
        assert (outcome.chains[1][0].skipped(12) == (7,)) is asked


def test_a_local_search_orders_its_untried_edits_by_what_those_so_far_did() -> None:
    def judge(chain: Chain) -> Score:  # only to skip one of the first four layers does harm
        kept = len(set(chain) & set(range(4)))
        return Score(kept == 4, 9.0 - 18.0 * (4 - kept))

    words = {"algorithm": "hill_climbing", "num_layers": 24, "max_block": 1, "temperature": 1.0, "wave": 1}
    harmed = []
    for history in (0.0, 5.0):
        found = [find(judge, seed=s, history=history, skip_share=1.0, simulations=22, **words) for s in range(20)]
        harmed.append(sum(not score.right for outcome in found for _, score, _ in outcome.chains))
    assert harmed[1] < 0.8 * harmed[0]
