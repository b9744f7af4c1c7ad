import numpy as np
import pytest
import yaml
from search_fakes import CONF, always_wrong, drive, find, needs, searcher

from cola_search import priors
from cola_search.baselines import Baseline, make_search
from cola_search.chain import Chain
from cola_search.outcome import Score
from cola_search.search_settings import SearchSettings
from cola_search.tree_search import Search

BASELINES = ("random", "hill_climbing", "greedy", "beam", "drllm_released")
RELEASED = yaml.safe_load((CONF / "drllm_released.yaml").read_text()) | {"stop": "none"}


def of(name: str) -> dict[str, object]:
    """The least settings of a baseline: the released walk has some that it takes no other values of."""
    return RELEASED if name == "drllm_released" else {"algorithm": name}


def test_the_algorithm_chooses_the_search() -> None:
    assert isinstance(searcher(algorithm="mcts"), Search)
    assert all(isinstance(searcher(**of(name)), Baseline) for name in BASELINES)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_asks_for_the_identity_chain_first_and_for_no_chain_twice(name: str) -> None:
    outcome = find(needs(0, 5, num_layers=12), **of(name) | {"simulations": 80})
    assert outcome.chains[0][0] == Chain.identity(12)
    assert outcome.evaluations == len(outcome.chains) <= outcome.simulations <= 80
    assert outcome.tree == []


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_follows_from_its_seed(name: str) -> None:
    first, again, other = (
        find(needs(0, 5, num_layers=12), seed=s, **of(name) | {"simulations": 60}) for s in (1, 1, 2)
    )
    assert first == again
    assert first.chains != other.chains


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_keeps_to_the_budget_and_the_stop_rules(name: str) -> None:
    assert find(always_wrong, **of(name) | {"simulations": 17}).evaluations <= 17
    spent = find(always_wrong, **of(name) | {"simulations": 500, "max_layer_executions": 50, "wave": 1})
    assert spent.layer_executions < 70
    assert find(lambda chain: Score(True, 1.0), **of(name) | {"stop": "first_fix"}).evaluations == 1


@pytest.mark.parametrize("name", ["random", "hill_climbing", "greedy", "beam"])
def test_the_chains_of_a_baseline_are_inside_the_caps(name: str) -> None:
    caps = {"max_length": 1.25, "min_length": 6, "max_extra_runs": 4}
    outcome = find(always_wrong, algorithm=name, simulations=200, **caps)
    assert all(6 <= len(chain) <= 15 for chain, _, _ in outcome.chains)


@pytest.mark.parametrize("name", ["random", "greedy", "hill_climbing", "beam", "drllm_released", "mcts"])
def test_no_search_pays_for_a_full_wave_before_it_has_scored_a_few_chains(name: str) -> None:
    search = searcher(**of(name) | {"simulations": 200, "wave": 16, "wave_ramp": 0.25})
    scored = 0
    while chains := search.ask():
        assert len(chains) <= max(1, scored // 4)
        search.tell(chains, [always_wrong(chain) for chain in chains])
        scored += len(chains)


def test_the_released_walk_takes_the_four_actions_equally_often() -> None:
    lengths = []
    for seed in range(300):
        search = searcher(num_layers=28, seed=seed, **RELEASED | {"simulations": 2})
        drive(search, always_wrong)
        lengths += [len(chain) for chain, _, _ in search.outcome().chains[1:]]
    share = np.bincount(lengths, minlength=30) / 300
    assert share[[26, 27, 29]] == pytest.approx([0.25] * 3, abs=0.08)  # the no-op asks for nothing new


def test_the_released_walk_drifts_to_nothing_as_the_notes_say() -> None:
    outcomes = [find(always_wrong, num_layers=28, seed=s, **RELEASED | {"simulations": 50}) for s in range(20)]
    assert 25 <= np.mean([outcome.evaluations for outcome in outcomes]) <= 42  # papers.md 4.4: 34 to 38 distinct paths
    assert np.mean([len(outcome.chains[-1][0]) for outcome in outcomes]) < 12  # lengths 28 to 0-9


def test_the_released_walk_never_passes_56_layers_whatever_the_model() -> None:
    outcome = find(always_wrong, num_layers=55, **RELEASED | {"simulations": 30})
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
    outcome = find(always_wrong, num_layers=80, **RELEASED | {"simulations": 30})
    assert outcome.evaluations > 5 and max(len(chain) for chain, _, _ in outcome.chains) <= 80


def test_the_released_walk_is_not_taken_for_solved_by_a_prior_that_it_does_not_obey() -> None:
    never_skip = np.tile([0.0, 0.9, 0.1], (6, 1))
    outcome = find(lambda chain: Score(True, 1.0), num_layers=6, seed=1, table=never_skip, **RELEASED)
    assert len(outcome.candidates[0][0]) == 1
