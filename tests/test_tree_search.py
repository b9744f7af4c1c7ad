import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from search_fakes import always_wrong, drive, find, needs, repeats, searcher

from cola_search.chain import Chain
from cola_search.outcome import Outcome, Score
from cola_search.tree import Tree

GOLDEN = Path(__file__).parent / "data" / "golden_trees.json"
UCT = {"selection": "uct", "backup": "mean", "widening": 2.0, "c": 1.4}
VARIANTS: dict[str, dict[str, object]] = {
    "partial_puct_best": {},
    "partial_uct_mean": {**UCT, "temperature": 1.0},
    "partial_uct_length_penalty_global": {**UCT, "length_penalty": 5.0, "visit_total": "global", "reward": "binary"},
    "edits_puct_cost_aware": {"space": "edits", "cost_exponent": 1.0, "temperature": 0.3},
    "edits_uct_random_child": {**UCT, "space": "edits", "temperature": 1.0, "random_child": 0.1, "reward": "margin"},
}


def golden_judge(chain: Chain) -> Score:
    """A reward with all cases: wrong, right, and an error for chains that end early."""
    if chain[-1] == 6:
        return Score(False, 0.0, error="no answer")
    return needs(0, 3, 4, num_layers=10)(chain)


def rows(outcome: Outcome) -> list[list[object]]:
    """The tree node by node: parent, chain, visits, value."""
    return [
        [parent, str(outcome.chains[index][0]), visits, round(value, 9)]
        for parent, index, visits, value in outcome.tree
    ]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_whole_tree_is_reproduced_node_by_node(name: str) -> None:
    outcome = find(golden_judge, num_layers=10, seed=7, simulations=60, wave=4, **VARIANTS[name])
    assert rows(outcome) == json.loads(GOLDEN.read_text())[name]


# ask and tell


def test_the_identity_chain_is_asked_first_and_alone() -> None:
    assert searcher(num_layers=12).ask() == [Chain.identity(12)]


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_no_chain_is_asked_twice(variant: dict[str, object]) -> None:
    asked: list[Chain] = []
    search = searcher(num_layers=6, simulations=300, **variant)
    while wave := search.ask():
        asked += wave
        search.tell(wave, [always_wrong(chain) for chain in wave])
    assert len(set(asked)) == len(asked) > 50


def test_a_wave_is_never_larger_than_asked_for_and_grows_with_what_is_scored() -> None:
    search, sizes = searcher(simulations=200, wave=8, wave_ramp=0.25), []
    while wave := search.ask():
        sizes.append(len(wave))
        search.tell(wave, [always_wrong(chain) for chain in wave])
    assert sizes[:8] == [1] * 8
    assert max(sizes) == 8
    assert all(size <= max(1, sum(sizes[:i]) / 4) for i, size in enumerate(sizes))


def test_asking_before_telling_is_an_error() -> None:
    search = searcher()
    search.ask()
    with pytest.raises(RuntimeError, match="before the scores"):
        search.ask()


def test_telling_other_chains_than_those_asked_is_an_error() -> None:
    search = searcher()
    search.ask()
    with pytest.raises(ValueError, match="exactly the chains"):
        search.tell([Chain([0])], [always_wrong(Chain([0]))])


def test_a_finished_search_asks_for_nothing() -> None:
    search = searcher(simulations=5)
    drive(search, always_wrong)
    assert search.done
    assert search.ask() == []


def test_every_simulation_makes_a_node_and_the_identity_chain_counts_as_one() -> None:
    outcome = find(always_wrong, simulations=60)
    assert outcome.simulations == 60 == len(outcome.tree)


def test_a_chain_that_two_states_share_is_scored_once_and_answered_from_memory() -> None:
    menu = [Chain([0, 0, 1, 2])]  # as a menu chain it may still be edited at its second layer 0, as a child it may not
    outcome = find(always_wrong, num_layers=3, max_length=2.0, menu=menu, simulations=1000)
    chains = [index for _, index, _, _ in outcome.tree]
    assert chains.count(1) == 2
    assert outcome.evaluations == len(set(chains)) < outcome.simulations


def test_the_last_wave_is_cut_at_the_budget() -> None:
    assert find(always_wrong, simulations=37, wave=16, wave_ramp=1.0).evaluations == 37


def test_layer_executions_are_a_budget() -> None:
    outcome = find(always_wrong, simulations=1000, max_layer_executions=200.0, wave=2)
    assert 200 <= outcome.layer_executions < 200 + 2 * 16


def test_a_search_with_a_smaller_budget_is_the_beginning_of_a_larger_one() -> None:
    small, large = (find(golden_judge, num_layers=10, simulations=n, wave=1) for n in (40, 300))
    assert [row[:3] for row in small.chains] == [row[:3] for row in large.chains[:40]]


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_the_same_seed_gives_the_same_search_and_another_seed_another(variant: dict[str, object]) -> None:
    first, again, other = (
        find(golden_judge, num_layers=10, seed=seed, simulations=80, **variant) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.tree != other.tree


def test_an_exhausted_space_ends_the_search_after_every_legal_chain() -> None:
    skips = {"num_layers": 5, "simulations": 100_000, "table": np.tile([0.5, 0.5, 0.0], (5, 1))}
    for space in ("partial", "edits"):
        outcome = find(always_wrong, space=space, **skips)
        assert {chain for chain, _, _ in outcome.chains} == {
            chain for size in range(1, 6) for chain in combinations(range(5), size)
        }


def test_a_model_of_one_layer_can_be_searched() -> None:
    assert find(always_wrong, num_layers=1, simulations=10).evaluations == 1


# what is found


@pytest.mark.parametrize("variant", [VARIANTS["partial_puct_best"], VARIANTS["edits_puct_cost_aware"]])
def test_the_shortest_right_chain_is_found_when_few_layers_matter(variant: dict[str, object]) -> None:
    outcome = find(needs(2, 5, 9, num_layers=12), num_layers=12, simulations=400, **variant)
    assert outcome.candidates[0][0] == (2, 5, 9)


@pytest.mark.parametrize("variant", [VARIANTS["partial_puct_best"], VARIANTS["edits_puct_cost_aware"]])
def test_a_repeat_that_fixes_a_wrong_base_is_found(variant: dict[str, object]) -> None:
    outcome = find(repeats(4), num_layers=12, simulations=300, **{**variant, "skip_share": 0.5})
    assert outcome.first_fix is not None
    assert 4 in outcome.candidates[0][0].repeated()


@pytest.mark.parametrize("space", ["partial", "edits"])
def test_a_wave_of_one_and_a_wave_of_sixteen_find_about_the_same(space: str) -> None:
    judge = needs(0, 1, 7, 13, 20, num_layers=24)

    def shortest(wave: int) -> float:
        found = (find(judge, num_layers=24, seed=seed, simulations=200, space=space, wave=wave) for seed in range(8))
        return float(np.mean([len(outcome.candidates[0][0]) for outcome in found]))

    assert shortest(16) == pytest.approx(shortest(1), abs=2.0)


def test_a_solved_sample_stops_the_search() -> None:
    outcome = find(lambda chain: Score(True, 1.0), num_layers=8, simulations=1000)
    assert len(outcome.candidates[0][0]) == 1
    assert outcome.simulations < 200


def test_the_search_stops_at_the_first_fix_if_asked() -> None:
    outcome = find(repeats(4), simulations=300, stop="first_fix", wave=1, skip_share=0.5)
    assert outcome.first_fix is not None
    assert outcome.first_fix.evaluations == outcome.evaluations < 300


def test_best_so_far_backup_values_every_node_at_the_best_reward_below_it() -> None:
    search = searcher(num_layers=10, simulations=80)
    drive(search, golden_judge)
    tree = search._tree  # type: ignore[attr-defined]
    for node in range(1, len(tree)):
        assert tree.best[tree.parent[node]] >= tree.best[node] >= tree.own[node]


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_visits_add_up(variant: dict[str, object]) -> None:
    search = searcher(num_layers=10, simulations=80, **variant)
    outcome = drive(search, needs(0, 3, 4, num_layers=10))
    tree = search._tree  # type: ignore[attr-defined]
    assert tree.visits[Tree.ROOT] == outcome.simulations == len(tree)


# positional bias


def thirds(outcome: Outcome, num_layers: int) -> np.ndarray:
    """The share of edited layers in the early, middle and late third, over all chains evaluated, [3]."""
    edited = np.zeros(num_layers)
    for chain, _, _ in outcome.chains:
        edited += np.array(chain.counts(num_layers)) != 1
    third = edited.reshape(3, -1).sum(axis=1)
    return np.asarray(third / third.sum())


@pytest.mark.parametrize("num_layers", [30, 81])
@pytest.mark.parametrize("simulations", [100, 400])
@pytest.mark.parametrize("variant", [{"temperature": 1.0}, {"space": "edits"}], ids=str)
def test_without_a_signal_no_third_of_the_model_is_preferred(
    num_layers: int, simulations: int, variant: dict[str, object]
) -> None:
    outcomes = [find(always_wrong, num_layers=num_layers, seed=s, simulations=simulations, **variant) for s in range(6)]
    shares = np.mean([thirds(outcome, num_layers) for outcome in outcomes], axis=0)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.09)


def test_the_tree_of_partial_chains_prefers_early_layers_but_starves_no_third() -> None:
    outcomes = [find(always_wrong, num_layers=30, seed=seed, simulations=400) for seed in range(6)]
    assert np.mean([thirds(outcome, 30) for outcome in outcomes], axis=0).min() > 0.2


# errors


def test_an_error_is_no_reward_no_success_and_no_visit() -> None:
    broken = Score(True, 5.0, error="out of memory")
    outcome = find(lambda chain: broken if len(chain) < 12 else always_wrong(chain), simulations=60)
    assert outcome.candidates == []
    assert all(score.error is None for _, score in outcome.front)
    for _, index, visits, value in outcome.tree[1:]:
        if outcome.chains[index][1].error is not None:
            assert (visits, value) == (0, 0.0)


def test_nothing_grows_below_a_chain_with_an_error() -> None:
    def judge(chain: Chain) -> Score:
        return Score(False, 0.0, error="broken") if 3 not in chain else always_wrong(chain)

    outcome = find(judge, num_layers=10, simulations=200, wave=1)
    broken = {node for node, row in enumerate(outcome.tree) if outcome.chains[row[1]][1].error}
    assert broken and not broken & {row[0] for row in outcome.tree}


def test_a_search_goes_on_after_an_error_of_the_base() -> None:
    def judge(chain: Chain) -> Score:
        return Score(False, math.nan, error="broken") if chain == Chain.identity(12) else Score(True, 1.0)

    outcome = find(judge, simulations=20)
    assert outcome.evaluations > 5
    assert outcome.first_fix is None


def test_a_search_of_errors_only_ends() -> None:
    outcome = find(lambda chain: Score(False, 0.0, error="broken"), num_layers=4, simulations=10_000)
    assert outcome.front == []
