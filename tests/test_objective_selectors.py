from dataclasses import replace

import numpy as np
import pytest

from cola_search.chain import Chain
from cola_search.objective.arms import (
    Arm,
    Judged,
    apply_arm,
    choose_arm,
    cross_validate,
    held_out_table,
    make_arms,
    make_selector,
    oracle_rows,
)
from cola_search.objective.classifiers import boosted, routed
from cola_search.objective.menu import exits, single_edits
from cola_search.objective.option_table import OptionTable
from cola_search.objective.selectors import (
    COMBINATIONS,
    cascade,
    largest_margin,
    least_entropy,
    mean_log_prob,
    mean_prob,
    most_confident,
    option_features,
    plain,
    right_of,
    tempered,
    unbiased,
    vote,
    weighted,
)

BASE = Chain.identity(4)
SHORT = Chain((0, 1))


def log_probs(*chains: list[float]) -> np.ndarray:
    """One item, [1, K, O], from probabilities."""
    return np.log(np.array([chains]))


def noisy_table(seed: int = 0, items: int = 400, signal: tuple[float, ...] = (0.0, 1.5)) -> OptionTable:
    """Chains SHORT and BASE (one a signal) on items of 3 or 4 options; a signal says how much a chain likes the gold one."""
    rng = np.random.default_rng(seed)
    golds = np.eye(4, dtype=bool)[rng.integers(0, 3, items)]
    scores = rng.normal(size=(items, len(signal), 4)) + golds[:, None] * np.array(signal)[None, :, None]
    scores[: items // 2, :, 3] = np.nan
    chains = (SHORT, BASE)[: len(signal)]
    ids = tuple(map(str, range(items)))
    return OptionTable(chains, ids, scores, golds, rng.integers(1, 9, golds.shape).astype(float))


def accuracy(selector: object, calibration: OptionTable, items: OptionTable) -> float:
    return float(right_of(items, selector(calibration)(items).options).mean())  # type: ignore[operator]


def test_confidence_entropy_and_margin_follow_the_chain_that_is_surest() -> None:
    said = log_probs([0.5, 0.3, 0.2], [0.1, 0.8, 0.1])
    assert [int(rule(said).argmax()) for rule in (most_confident, least_entropy, largest_margin)] == [1, 1, 1]


def test_margin_and_confidence_are_not_the_same() -> None:
    sure = log_probs([0.55, 0.44, 0.01], [0.25, 0.5, 0.25])
    assert int(most_confident(sure).argmax()) == 0 and int(largest_margin(sure).argmax()) == 1


def test_a_vote_goes_by_the_number_of_chains_and_then_by_probability() -> None:
    assert int(vote(log_probs([0.6, 0.4], [0.6, 0.4], [0.01, 0.99])).argmax()) == 0
    assert int(vote(log_probs([0.6, 0.4], [0.1, 0.9])).argmax()) == 1


def test_a_veto_shows_in_mean_log_probabilities_and_not_in_mean_probabilities() -> None:
    said = log_probs([0.9, 0.1], [0.001, 0.999], [0.9, 0.1])
    assert int(mean_log_prob(said).argmax()) == 1 and int(mean_prob(said).argmax()) == 0


@pytest.mark.parametrize("name", [*COMBINATIONS])
def test_an_option_that_does_not_exist_is_never_chosen(name: str) -> None:
    table = noisy_table(items=60)
    assert plain(COMBINATIONS[name])(table)(table).options[:30].max() <= 2


def test_running_a_whole_menu_costs_its_token_tree() -> None:
    table = noisy_table(items=4)
    assert plain(vote)(table)(table).cost.tolist() == [4.0] * 4


def test_selectors_charge_the_reads_of_the_head() -> None:
    table = replace(noisy_table(items=40), head_cost=0.5)
    assert set(plain(vote)(table)(table).cost.tolist()) == {4.5}
    assert set(cascade(budget=4.5)(table)(table).cost.tolist()) <= {2.0, 4.5}
    assert set(cascade(budget=2.0)(table)(table).cost.tolist()) == {2.0}
    assert set(routed(BASE)(table)(table).cost.tolist()) <= {2.0, 4.5}


def test_temperatures_quiet_a_chain_that_is_sure_and_wrong() -> None:
    table = noisy_table()
    loud = replace(table, scores=table.scores * np.array([20.0, 1.0])[None, :, None])
    calibration, items = loud.rows(np.arange(200)), loud.rows(np.arange(200, 400))
    plainly, calmly = (accuracy(make(most_confident), calibration, items) for make in (plain, tempered))
    assert calmly > plainly + 0.2


def test_a_bias_for_one_position_is_taken_off_without_labels() -> None:
    table = noisy_table()
    biased = replace(table, scores=table.scores + np.array([6.0, 0, 0, 0]), golds=table.golds)
    unlabelled = replace(biased, golds=np.zeros_like(biased.golds))
    assert accuracy(unbiased(mean_log_prob), unlabelled, biased) > accuracy(plain(mean_log_prob), biased, biased) + 0.2


def test_weights_silence_a_chain_that_knows_nothing() -> None:
    table = noisy_table()
    calibration, items = table.rows(np.arange(200)), table.rows(np.arange(200, 400))
    alone = accuracy(plain(mean_log_prob), calibration, items.columns([BASE]))
    assert accuracy(weighted(), calibration, items) > alone - 0.04
    assert accuracy(plain(mean_log_prob), calibration, items) < alone - 0.05


def test_weights_may_be_negative() -> None:
    table = noisy_table(signal=(-1.5, 0.2))
    assert accuracy(weighted(), table, table) > 0.6


def test_features_of_an_option_do_not_depend_on_a_constant() -> None:
    table = noisy_table(items=10)
    features = option_features(table)[:, :, :2]
    moved = option_features(replace(table, scores=table.scores + 7.0))[:, :, :2]
    assert features == pytest.approx(moved)


def test_a_cascade_stops_early_only_where_it_is_confident_and_within_its_budget() -> None:
    table = noisy_table(signal=(3.0, 3.0))
    choice = cascade(budget=3.0)(table)(table)
    assert set(choice.cost.tolist()) == {2.0, 4.0} and choice.cost.mean() <= 3.0
    assert float(right_of(table, choice.options).mean()) > table.right[:, 0].mean()


def test_a_cascade_with_no_room_for_more_stops_at_its_first_chain() -> None:
    table = noisy_table(items=40)
    assert set(cascade(budget=2.0)(table)(table).cost.tolist()) == {2.0}


def test_the_router_runs_the_chain_that_is_right_for_such_items() -> None:
    """What the first chain says tells which of the other two is right."""
    rng = np.random.default_rng(0)
    sure = rng.random(600) < 0.5
    golds = np.tile([True, False], (600, 1))
    pilot = np.where(sure[:, None], [0.0, 4.0], [0.0, 0.1])
    one, two = np.where(sure[:, None], [1.0, 0], [0, 1.0]), np.where(sure[:, None], [0, 1.0], [1.0, 0])
    chains = (BASE, Chain((0, 2)), Chain((0, 1)))
    table = OptionTable(chains, tuple(map(str, range(600))), np.stack([pilot, one, two], 1), golds, np.ones((600, 2)))
    choice = routed(BASE)(table)(table)
    assert right_of(table, choice.options).all()
    assert set(choice.cost.tolist()) == {4.0, 5.0}


def test_the_router_reads_the_hidden_state_of_the_base() -> None:
    rng = np.random.default_rng(0)
    kind = rng.random(300) < 0.5
    golds = np.tile([True, False], (300, 1))
    one, two = np.where(kind[:, None], [1.0, 0], [0, 1.0]), np.where(kind[:, None], [0, 1.0], [1.0, 0])
    scores = np.stack([np.tile([0.0, 0.1], (300, 1)), one, two], 1)
    hidden = np.where(kind, 1.0, -1.0)[:, None] + rng.normal(size=(300, 4)) * 0.1
    chains = (BASE, Chain((0, 2)), Chain((0, 1)))
    table = OptionTable(chains, tuple(map(str, range(300))), scores, golds, np.ones((300, 2)), hidden)
    assert accuracy(routed(BASE), table, table) > 0.95
    assert accuracy(routed(Chain((3,))), table, replace(table, golds=golds)) < 0.8


def test_boosting_learns_from_labels_and_gives_one_of_the_options() -> None:
    table = noisy_table(signal=(0.0, 3.0))
    calibration, items = table.rows(np.arange(200)), table.rows(np.arange(200, 400))
    assert accuracy(boosted(), calibration, items) > 0.6
    assert boosted()(calibration)(table).options[:200].max() <= 2


def test_no_selector_reads_the_answers_of_the_items_it_chooses_on() -> None:
    table = noisy_table(items=120)
    calibration, items = table.rows(np.arange(60)), table.rows(np.arange(60, 120))
    blind = replace(items, golds=np.zeros_like(items.golds))
    for arm in make_arms(4, [1.0], generated=False):
        rule = make_selector(arm, BASE)(calibration)
        assert rule(items).options.tolist() == rule(blind).options.tolist(), arm


def full_table(seed: int, items: int = 120) -> OptionTable:
    rng = np.random.default_rng(seed)
    chains = (BASE, *exits(BASE), *single_edits(4, 1))
    golds = np.eye(3, dtype=bool)[rng.integers(0, 3, items)]
    scores = rng.normal(size=(items, len(chains), 3)) + 0.7 * golds[:, None]
    return OptionTable(chains, tuple(map(str, range(items))), scores, golds, np.ones(golds.shape))


def test_arms_of_a_generated_task_vote() -> None:
    assert {arm.selector for arm in make_arms(4, [1.0], generated=True)} == {"chain", "vote"}


def test_the_base_has_one_budget_and_its_exits_none_below_that() -> None:
    arms = make_arms(4, [0.5, 1.0, 2.0], generated=False)
    assert {arm.budget for arm in arms if arm.menu == "base"} == {4.0}
    assert {arm.budget for arm in arms if arm.menu == "exits"} == {4.0, 8.0}


def test_an_arm_whose_menu_is_empty_has_nothing_right() -> None:
    table = full_table(0)
    judged = apply_arm(Arm("cover", "vote", 0.5), [], table, table)
    assert not judged.right.any() and judged.cost == 0


def test_cross_validation_judges_each_item_by_what_the_others_chose() -> None:
    """On noise a selector looks good on the items that it was fitted on, and not on others."""
    table = full_table(1, items=90)
    noise = replace(table, golds=np.eye(3, dtype=bool)[np.random.default_rng(5).integers(0, 3, 90)])
    arm = Arm("chain", "boosted", 5.0)
    seen = apply_arm(arm, [noise.chains[0]], noise, noise).right.mean()
    (crossed,) = cross_validate(noise, [arm], size=3)
    assert seen > 0.5 > crossed.right.mean()


def test_chains_that_were_found_on_some_items_are_judged_on_the_others() -> None:
    """A chain that is right on the items that it was found on, and by chance elsewhere, does not look better than that."""
    table = full_table(1, items=200)
    noise = np.random.default_rng(5).integers(0, 3, 200)
    golds = np.eye(3, dtype=bool)[np.where(np.arange(200) < 80, table.log_probs[:, 1].argmax(axis=1), noise)]
    mined, arm = replace(table, golds=golds), Arm("chain", "chain", 5.0)
    (all_items,), (unseen,) = (cross_validate(mined, [arm], 3, on=on) for on in (None, np.arange(80, 200)))
    assert len(unseen.right) == 120 and all_items.right.mean() > 0.5 > unseen.right.mean()


def test_the_choice_keeps_to_its_budget_and_leaves_the_controls_out() -> None:
    arms = [Arm("base", "chain", 4.0), Arm("cover", "vote", 4.0), Arm("cover", "vote", 8.0)]
    judged = [Judged(menu=[], right=np.arange(10) < n, cost=cost) for n, cost in ((9, 4.0), (5, 4.0), (8, 7.0))]
    assert choose_arm(arms, judged, 4.0, control=False) == arms[1]
    assert choose_arm(arms, judged, 8.0, control=False) == arms[2]
    assert choose_arm(arms, judged, 4.0, control=True) == arms[0]
    assert choose_arm(arms, judged, 3.0, control=False) is None


def test_the_held_out_table_compares_every_arm_with_the_base() -> None:
    calibration, held_out = full_table(2), full_table(3)
    arms = [Arm("base", "chain", 4.0), Arm("chain", "chain", 4.0), Arm("exits", "mean_log_prob", 4.0)]
    rows = held_out_table(calibration, held_out, arms, cross_validate(calibration, arms, 3), 3, 0.02)
    base = int(held_out.right[:, 0].sum())
    assert (rows[0]["count"], rows[0]["p"], rows[0]["chosen"]) == (base, 1.0, [4.0])
    for row in rows:
        assert row["count"] == base + row["gained"] - row["lost"]
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
    assert "p_holm" not in rows[0] and all(row["p_holm"] >= row["p"] for row in rows[1:])
    assert [len(row["chosen"]) for row in rows[1:]] in ([1, 0], [0, 1])


def test_the_oracle_counts_items_that_any_chain_has_right() -> None:
    table = full_table(4)
    (row,) = oracle_rows(table, table, [4.0], size=4)
    assert row["selector"] == "oracle" and row["count"] > table.right.sum(axis=0).max()
