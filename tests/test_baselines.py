from collections import Counter

import numpy as np
import pytest
import yaml
from search_fakes import CONF, always_wrong, drive, find, needs, searcher
from test_tree_search import thirds

from cola_search import priors
from cola_search.baselines import Baseline, make_search
from cola_search.chain import Chain
from cola_search.outcome import Score
from cola_search.settings import SearchSettings
from cola_search.tree_search import Search

BASELINES = ("random", "hill_climbing", "greedy", "beam", "drllm_released")


def test_the_algorithm_chooses_the_search() -> None:
    assert isinstance(searcher(algorithm="mcts"), Search)
    assert all(isinstance(searcher(algorithm=name), Baseline) for name in BASELINES)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_asks_for_the_identity_chain_first_and_for_no_chain_twice(name: str) -> None:
    outcome = find(needs(0, 5, num_layers=12), algorithm=name, simulations=80)
    assert outcome.chains[0][0] == Chain.identity(12)
    assert outcome.evaluations == len(outcome.chains) <= outcome.simulations <= 80
    assert outcome.tree == []


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_follows_from_its_seed(name: str) -> None:
    first, again, other = (find(needs(0, 5, num_layers=12), algorithm=name, seed=s, simulations=60) for s in (1, 1, 2))
    assert first == again
    assert first.chains != other.chains


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_keeps_to_the_budget_and_the_stop_rules(name: str) -> None:
    assert find(always_wrong, algorithm=name, simulations=17).evaluations <= 17
    assert find(always_wrong, algorithm=name, simulations=500, max_layer_executions=50, wave=1).layer_executions < 70
    assert find(lambda chain: Score(True, 1.0), algorithm=name, stop="first_fix").evaluations == 1


@pytest.mark.parametrize("name", ["random", "hill_climbing", "greedy", "beam"])
def test_the_chains_of_a_baseline_are_inside_the_caps(name: str) -> None:
    caps = {"max_length": 1.25, "min_length": 6, "max_extra_runs": 4}
    outcome = find(always_wrong, algorithm=name, simulations=200, **caps)
    assert all(6 <= len(chain) <= 15 for chain, _, _ in outcome.chains)


def test_random_chains_prefer_no_part_of_the_model() -> None:
    outcome = find(always_wrong, num_layers=30, algorithm="random", simulations=1000)
    assert thirds(outcome, 30) == pytest.approx([1 / 3] * 3, abs=0.03)


@pytest.mark.parametrize("space", ["partial", "edits"])
def test_random_chains_follow_the_prior(space: str) -> None:
    table = priors.uniform(12)
    table[3] = [0.0, 1.0, 0.0]
    table[7] = [0.9, 0.1, 0.0]
    outcome = find(always_wrong, table=table, algorithm="random", space=space, max_block=1, simulations=300)
    skipped = Counter(layer for chain, _, _ in outcome.chains for layer in chain.skipped(12))
    assert skipped[3] == 0
    assert skipped.most_common(1)[0][0] == 7


def test_random_chains_end_when_the_space_is_used_up() -> None:
    outcome = find(always_wrong, num_layers=2, algorithm="random", max_block=1, max_length=1.0, simulations=10_000)
    assert {tuple(chain) for chain, _, _ in outcome.chains} <= {(0, 1), (0,), (1,), (0, 0), (1, 1)}


def test_random_chains_respect_the_limit_of_edits() -> None:
    outcome = find(always_wrong, algorithm="random", max_edits=1, max_block=1, simulations=20)
    assert all(abs(len(chain) - 12) <= 1 for chain, _, _ in outcome.chains)


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


@pytest.mark.parametrize("name", ["random", "greedy", "hill_climbing", "beam", "drllm_released", "mcts"])
def test_no_search_pays_for_a_full_wave_before_it_has_scored_a_few_chains(name: str) -> None:
    search = searcher(algorithm=name, simulations=200, wave=16, wave_ramp=0.25)
    scored = 0
    while chains := search.ask():
        assert len(chains) <= max(1, scored // 4)
        search.tell(chains, [always_wrong(chain) for chain in chains])
        scored += len(chains)


def test_a_chain_with_an_error_is_never_built_on() -> None:
    def judge(chain: Chain) -> Score:
        return Score(True, 1.0, error="broken") if len(chain) < 12 else always_wrong(chain)

    outcome = find(judge, algorithm="hill_climbing", neighbours=4, max_block=1, simulations=100)
    assert outcome.candidates == []
    assert min(len(chain) for chain, _, _ in outcome.chains) == 11


def test_the_released_walk_takes_the_four_actions_equally_often() -> None:
    lengths = []
    for seed in range(300):
        search = searcher(num_layers=28, seed=seed, algorithm="drllm_released", simulations=2)
        drive(search, always_wrong)
        lengths += [len(chain) for chain, _, _ in search.outcome().chains[1:]]
    share = np.bincount(lengths, minlength=30) / 300
    assert share[[26, 27, 29]] == pytest.approx([0.25] * 3, abs=0.08)  # the no-op asks for nothing new


def test_the_released_walk_drifts_to_nothing_as_the_notes_say() -> None:
    outcomes = [
        find(always_wrong, num_layers=28, seed=s, algorithm="drllm_released", simulations=50) for s in range(20)
    ]
    assert 25 <= np.mean([outcome.evaluations for outcome in outcomes]) <= 42  # papers.md 4.4: 34 to 38 distinct paths
    assert np.mean([len(outcome.chains[-1][0]) for outcome in outcomes]) < 12  # lengths 28 to 0-9


def test_the_released_walk_never_passes_56_layers_whatever_the_model() -> None:
    outcome = find(always_wrong, num_layers=55, algorithm="drllm_released", simulations=30, max_length=5.0)
    assert max(len(chain) for chain, _, _ in outcome.chains) <= 56


@pytest.mark.parametrize("name", ["random", "hill_climbing", "greedy", "beam", "drllm_released"])
def test_every_baseline_file_runs(name: str) -> None:
    settings = SearchSettings(**yaml.safe_load((CONF / f"{name}.yaml").read_text()))
    search = make_search(settings, 10, priors.uniform(10), np.random.default_rng(0))
    assert drive(search, always_wrong).evaluations > 5


def test_telling_out_of_turn_is_an_error() -> None:
    search = searcher(algorithm="random")
    with pytest.raises(ValueError, match="exactly the chains"):
        search.tell([Chain([0])], [always_wrong(Chain([0]))])
    search.ask()
    with pytest.raises(RuntimeError, match="before the scores"):
        search.ask()


def test_the_released_walk_walks_a_model_of_more_than_56_layers_too() -> None:
    outcome = find(always_wrong, num_layers=80, algorithm="drllm_released", simulations=30)
    assert outcome.evaluations > 5 and max(len(chain) for chain, _, _ in outcome.chains) <= 80


def test_a_local_search_tries_edits_in_the_order_that_the_settings_give() -> None:
    cheap_first = {"cost_exponent": 4.0, "temperature": 0.0, "neighbours": 1, "max_block": 1}
    search = searcher(algorithm="hill_climbing", space="edits", **cheap_first)
    search.tell(search.ask(), [Score(True, 1.0)], 12.0)
    assert search.ask() == [Chain(range(11))]  # to leave out the last layer is the cheapest edit
