"""Which arms cross-validation lets anybody choose, and by which margin they are told to be not worse."""

from dataclasses import replace

import numpy as np
import pytest
from test_objective_selectors import full_table

from cola_search.chain import Chain
from cola_search.objective import arms
from cola_search.objective.arms import Arm, Judged, apply_arm, choose_arm, cross_validate, held_out_table
from cola_search.objective.option_table import FLOOR, OptionTable

BASE = Chain.identity(4)


def test_an_arm_whose_menu_is_empty_in_one_fold_is_not_chosen_at_the_cost_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    menus = iter([[], [BASE], [BASE], [BASE], [BASE]])
    monkeypatch.setitem(arms.MENUS, "cover", lambda table, budget, size: next(menus))
    arm = Arm("cover", "vote", 4.0)
    (judged,) = cross_validate(full_table(0), [arm], 3)
    assert judged.cost == 0 and not judged.right.any()
    assert choose_arm([arm], [judged], 4.0, control=False) is None


@pytest.mark.parametrize("judges", [2, 3, 4])
def test_with_few_items_to_judge_by_there_are_fewer_folds_and_costs_are_known(judges: int) -> None:
    table, arm = full_table(0, 40), Arm("chain", "chain", 4.0)
    (judged,) = cross_validate(table, [arm], 3, on=np.arange(judges))
    assert len(judged.right) == judges and judged.cost > 0


def test_an_arm_is_not_worse_by_the_margin_that_was_asked_for() -> None:
    table, arm = full_table(2, 600), [Arm("base", "chain", 4.0), Arm("chain", "chain", 3.0)]
    crossed = [Judged(menu=[], right=np.ones(600, dtype=bool), cost=3.0)] * 2
    told = [held_out_table(table, table, arm, crossed, 3, margin)[1]["not_worse"] for margin in (1e-9, 0.9)]
    assert told == [False, True]


def test_an_arm_that_says_nothing_is_wrong_also_where_other_chains_of_the_table_say_something() -> None:
    scores = np.array([[[FLOOR, FLOOR], [2.0, 1.0]]] * 8)
    golds = np.tile([True, False], (8, 1))
    table = OptionTable((BASE, Chain((0, 1))), tuple("abcdefgh"), scores, golds, np.ones((8, 2)))
    assert not apply_arm(Arm("base", "chain", 4.0), [BASE], table, table).right.any()
    assert apply_arm(Arm("chain", "chain", 4.0), [Chain((0, 1))], table, replace(table)).right.all()
