"""Menus of chains, and the race that their chains come from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from record_fixture import record

from cola_search import Chain, ModelScorer, load_task
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.loading import LoadedModel
from cola_search.objective.candidates import best_pairs, race, searched
from cola_search.objective.menu import (
    best_chain_menu,
    cover_menu,
    ensemble_menu,
    exits,
    exits_menu,
    generic_chains,
    joined_edit,
    keep_best,
    menu_cost,
    single_edits,
    solved_by,
)
from cola_search.objective.option_table import FLOOR, OptionTable, option_scores, score_table
from cola_search.objective.selectors import right_of
from cola_search.records import Evaluated
from cola_search.search_settings import SearchSettings

BASE = Chain.identity(4)
ENGINE = EngineSettings(memory="50MB", samples_in_flight=4, mix_samples=True)


def table_of(right: dict[str, str]) -> OptionTable:
    """Items of two options, the first one gold; by chain a string with 1 where it is right, 2 where it is very sure."""
    sure = {"1": 1.0, "2": 5.0, "0": -1.0}
    lead = np.array([[sure[mark] for mark in marks] for marks in right.values()]).T
    scores = np.stack([lead, np.zeros_like(lead)], axis=2)
    golds = np.tile([True, False], (len(lead), 1))
    ids = tuple(map(str, range(len(lead))))
    return OptionTable(tuple(Chain.parse(text) for text in right), ids, scores, golds, np.ones(golds.shape))


def test_the_cost_of_a_menu_counts_a_shared_prefix_once() -> None:
    assert menu_cost([Chain((0, 1, 2, 3)), Chain((0, 1, 3))]) == 5
    assert menu_cost([BASE, *exits(BASE)]) == 4


def test_every_chain_but_one_is_charged_its_read_of_the_head() -> None:
    assert menu_cost([BASE], 2.5) == 4
    assert menu_cost([BASE, *exits(BASE)], 2.5) == 4 + 3 * 2.5
    assert menu_cost([BASE, BASE], 2.5) == 4 and menu_cost([], 2.5) == 0


def test_exits_are_taken_as_far_as_the_budget_has_reads_for_them() -> None:
    table = replace(table_of({"0-3": "11", "0": "10", "0-1": "00", "0-2": "01"}), head_cost=1.5)
    assert [len(exits_menu(table, budget, size=4)) for budget in (4, 5.5, 7, 8.5, 20)] == [0, 2, 3, 4, 4]


def test_no_menu_passes_its_budget_by_reads_of_the_head() -> None:
    table = replace(table_of({"0-3": "1100", "0-2": "1110", "1-3": "0001"}), head_cost=1.5)
    assert cover_menu(table, budget=6, size=3) == [Chain.parse("0-2")]
    assert len(cover_menu(table, budget=7.5, size=3)) == 2


def test_the_cost_of_a_menu_is_what_the_engine_runs(tiny_model: LoadedModel) -> None:
    items = load_task("arc_easy", limit=1)
    chains = [Chain((0, 1, 2, 3)), Chain((0, 1, 3, 3)), Chain((1, 2)), Chain((0, 1))]
    scorer = ModelScorer(tiny_model, items, ENGINE)
    score_table(scorer, items[:], chains)
    assert scorer.layer_executions == menu_cost(chains)


def test_single_edits_skip_or_repeat_every_block() -> None:
    assert [str(chain) for chain in single_edits(3, 1)] == [
        *("1-2", "0 2", "0-1", "(0)x2 1-2", "0 (1)x2 2", "0-1 (2)x2"),
    ]


def test_joined_edits_skip_and_repeat_at_once() -> None:
    assert joined_edit(Chain.parse("0-2"), Chain.parse("0 (1)x2 2-3"), 4) == Chain.parse("0 (1)x2 2")


def test_edits_of_the_same_layer_are_not_joined() -> None:
    assert joined_edit(Chain.parse("0 2-3"), Chain.parse("0 (1)x2 2-3"), 4) is None


def test_pairs_join_the_best_edits_first_and_keep_the_length() -> None:
    table = table_of({"0-3": "000", "1-3": "111", "0-2": "110", "0 2-3": "000", "0 (1)x2 2-3": "111"})
    assert [str(chain) for chain in best_pairs(table, longest=4)[:3]] == ["(1)x2 2-3", "0 (1)x2 2", "1-2"]
    assert max(map(len, best_pairs(table, longest=2))) == 2


def test_records_say_which_samples_a_chain_solved() -> None:
    rows = [Evaluated("0-11", 1, 0.5, 12.0), Evaluated("0-8", 0, -0.5, 21.0), Evaluated("0-7", None, None, 22.0)]
    assert solved_by([record("a", chains=rows), record("b", chains=rows)]) == {Chain.identity(12): {"a", "b"}}
    assert solved_by([record("a", chains=rows), record("b", chains=rows, verified={"0-11": False})]) == {
        Chain.identity(12): {"a"}
    }


def test_generic_chains_solve_much_and_cover_the_rare_samples() -> None:
    solved = {Chain((0,)): {"a", "b"}, Chain((1,)): {"a", "b"}, Chain((2,)): {"c"}, Chain((0, 1, 2)): {"a", "b", "c"}}
    assert generic_chains(solved, 2, longest=2) == [Chain((0,)), Chain((1,))]
    assert set(generic_chains(solved, 4, longest=2)) == {Chain((0,)), Chain((1,)), Chain((2,))}


def test_the_first_heat_keeps_the_accurate_chains_and_those_that_fix() -> None:
    table = table_of({"0-3": "1100", "0-2": "1110", "1-3": "0001", "2-3": "1000"})
    assert keep_best(table, 2, [BASE]) == [BASE, Chain.parse("0-2"), Chain.parse("1-3")]


def test_cover_takes_chains_that_solve_what_the_others_do_not() -> None:
    table = table_of({"0-3": "1100", "0-2": "1110", "1-3": "0001"})
    assert cover_menu(table, budget=8, size=3) == [Chain.parse("0-2"), Chain.parse("1-3")]


def test_a_menu_stays_within_its_budget() -> None:
    table = table_of({"0-3": "1100", "0-2": "1110", "1-3": "0001"})
    assert cover_menu(table, budget=5, size=3) == [Chain.parse("0-2")]
    assert cover_menu(table, budget=2, size=3) == []


def test_the_ensemble_takes_the_chains_whose_mean_likes_the_gold_answers() -> None:
    table = table_of({"0-3": "1100", "0-2": "2200", "1-3": "0022", "0 2-3": "1111"})
    assert ensemble_menu(table, budget=20, size=2) == [Chain.parse("0 2-3")]


def test_the_best_chain_is_the_most_accurate_within_the_budget() -> None:
    table = table_of({"0-3": "1110", "0-2": "1100", "1-3": "1000"})
    assert best_chain_menu(table, budget=3, size=1) == [Chain.parse("0-2")]


def test_the_exits_of_the_base_come_with_it() -> None:
    table = table_of({"0-3": "11", "0": "10", "0-1": "00", "0-2": "01", "1-3": "11"})
    assert exits_menu(table, budget=4, size=3) == [BASE, Chain((0,)), Chain((0, 1, 2))]
    assert exits_menu(table, budget=3, size=3) == []


def test_a_table_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    table = replace(table_of({"0-3": "1110", "0-2": "1100"}), layer_executions=28.5)
    table.save(tmp_path / "some" / "table.npz")
    again = OptionTable.load(tmp_path / "some" / "table.npz")
    assert (again.chains, again.ids, again.hidden) == (table.chains, table.ids, None)
    assert again.layer_executions == 28.5
    assert np.array_equal(again.scores, table.scores) and np.array_equal(again.golds, table.golds)


def test_option_scores_are_those_that_the_verdicts_compare(tiny_model: LoadedModel) -> None:
    items = load_task("arc_easy", limit=5)
    chains = [Chain.identity(6), Chain((0, 2, 3, 5))]
    scorer = ModelScorer(tiny_model, items, ENGINE)
    table = score_table(scorer, items[:], chains, hidden=True)
    scores = [scorer.score(sample, chains) for sample in items]
    assert table.right.tolist() == [[score.correct for score in some] for some in scores]
    assert table.hidden is not None and table.hidden.shape == (5, 32)


def test_generated_answers_are_the_options_of_their_item(tiny_model: LoadedModel) -> None:
    items = load_task("arithmetic_short", limit=2, chat_template=False)
    found = option_scores(
        ModelScorer(tiny_model, items, ENGINE), [(sample, [Chain.identity(6), Chain((0,))]) for sample in items]
    )
    for one in found:
        assert (one.scores == 0).sum(axis=1).tolist() == [1, 1]
        assert ((one.scores == 0) | (one.scores == FLOOR)).all()


def test_a_search_of_calibration_items_gives_candidates_and_the_race_a_table(tiny_model: LoadedModel) -> None:
    items = load_task("arc_easy", limit=6)
    scorer = ModelScorer(tiny_model, items, ENGINE)
    solved = searched(scorer, items[:3], SearchSettings(simulations=8), seed=0)
    assert set().union(*solved.values()) <= {sample.id for sample in items[:3]}
    table = race(scorer, items[:], list(solved), max_block=1, pairs=5, first=3, finalists=4, longest=6)
    assert table.chains[0] == Chain.identity(6) and len(table) == 6
    assert len(table.chains) == 6 + 4 and max(map(len, table.chains)) == 6


def test_the_ensemble_has_chains_also_where_no_chain_solves_some_item() -> None:
    scores = np.array([[[0, FLOOR], [FLOOR, 0]], [[0, FLOOR], [FLOOR, 0]], [[0, np.nan], [0, np.nan]]])
    golds = np.array([[True, False], [True, False], [False, False]])
    table = OptionTable((BASE, Chain((0, 1))), ("a", "b", "c"), scores, golds, np.ones(golds.shape))
    assert ensemble_menu(table, 8, 3) == ensemble_menu(table.rows(np.array([0, 1])), 8, 3) == [BASE]


def test_a_chain_that_scores_no_option_is_wrong_whatever_the_gold_answer() -> None:
    scores = np.array([[[1.0, 2.0], [FLOOR, FLOOR], [np.nan, np.nan], [-np.inf, -np.inf], [FLOOR, -3.0]]])
    table = OptionTable(
        tuple(Chain((k,)) for k in range(5)), ("a",), scores, np.array([[True, False]]), np.ones((1, 2))
    )
    assert not table.right.any()
    assert replace(table, golds=np.array([[False, True]])).right.tolist() == [[True, False, False, False, True]]
    assert not right_of(table.columns([Chain((1,)), Chain((2,))]), np.array([0])).any()
