"""What earlier searches teach: the menus for either verdict of the base, and what edits of each layer do."""

import math

import numpy as np
import pytest
from record_fixture import record
from search_fakes import find, needs

from cola_search.chain import Chain
from cola_search.lessons import SHRINKAGE, Searched, greedy_menu, learn

BASE, SHORT, SHORTER = Chain(range(4)), Chain([0, 3]), Chain([0])
NONE: list[tuple[int, int]] = []


def without(layer: int) -> Chain:
    return Chain(i for i in range(4) if i != layer)


def test_each_verdict_of_the_base_has_a_menu_of_its_own() -> None:
    right = [(BASE, True, 1.0), (SHORT, True, 1.0)]
    wrong = [(BASE, False, -1.0), (SHORT, False, -1.0), (SHORTER, True, 1.0)]
    lessons = learn([Searched(name, right if name in "ab" else wrong, NONE) for name in "abcd"], num_layers=4, menu=5)
    assert (lessons.right, lessons.wrong) == ([SHORT], [SHORTER])


def test_a_chain_that_solved_a_single_sample_is_in_no_menu() -> None:
    searches = [Searched("a", [(BASE, True, 1.0), (SHORTER, True, 1.0)], NONE)]
    searches += [Searched(name, [(BASE, True, 1.0), (SHORT, True, 1.0)], NONE) for name in "ab"]
    assert learn(searches, num_layers=4, menu=5).right == [SHORT]


def test_the_chain_comes_first_that_is_worth_most_to_all_together() -> None:
    """One that saves three of four layers on two samples; where many more have the one that saves a layer, that one."""
    long = Chain([0, 1, 2])
    two = [Searched(name, [(BASE, True, 1.0), (SHORTER, True, 1.0), (long, True, 1.0)], NONE) for name in "ab"]
    many = [Searched(name, [(BASE, True, 1.0), (long, True, 1.0)], NONE) for name in "cdefgh"]
    assert learn(two, 4, menu=2).right == [SHORTER]
    assert learn([*two, *many], 4, menu=2).right == [long, SHORTER]


def test_an_edit_s_change_is_told_from_the_other_edits_of_its_sample() -> None:
    """Both samples lose a nat more by layer 0 than by layer 1, though the second loses ten times as much by either."""
    searches = [
        Searched("a", [(BASE, True, 5.0), (without(0), True, 4.0), (without(1), True, 5.0)], [(-1, 0), (0, 1), (0, 2)]),
        Searched("b", [(BASE, True, 9.0), (without(0), True, 0.0), (without(1), True, 1.0)], [(-1, 0), (0, 1), (0, 2)]),
    ]
    changes = learn(searches, 4, 0).changes
    assert changes is not None
    assert changes[0] == pytest.approx([-1 / (2 + SHRINKAGE), 1 / (2 + SHRINKAGE), 0, 0])
    assert not changes[1].any()


def test_repeats_are_told_apart_from_skips_and_a_block_shares_its_change() -> None:
    repeated, block = Chain([0, 1, 1, 2, 3]), Chain([0, 3])
    chains = [(BASE, True, 5.0), (repeated, True, 6.0), (block, True, 1.0), (without(0), True, 5.0)]
    changes = learn([Searched("a", chains, [(-1, 0), (0, 1), (0, 2), (0, 3)])], 4, 0).changes
    assert changes is not None
    assert changes[0] == pytest.approx(np.array([4 / 3, -2 / 3, -2 / 3, 0]) / (1 + SHRINKAGE))
    assert not changes[1].any()  # the only repeat has no other to be compared with


@pytest.mark.parametrize("margin", [math.nan, 4.0])
def test_what_was_not_scored_or_made_by_a_large_edit_says_nothing_of_a_layer(margin: float) -> None:
    base = Chain(range(8))
    rows = [(base, True, 5.0), (Chain([0, 1]) if margin == 4.0 else Chain(range(7)), True, margin)]
    changes = learn([Searched("a", rows, [(-1, 0), (0, 1), (0, -1)])], 8, 0).changes
    assert changes is None or not changes.any()


def test_a_search_teaches_the_next_one_where_to_begin() -> None:
    """Five layers are needed; after two samples the next search tries their chain first and has it after two evaluations."""
    judge = needs(0, 3, 5, 9, 11, num_layers=12)
    first = find(judge, space="edits", history=1.0, simulations=200, seed=1)
    lessons = learn([Searched.of_outcome(name, first) for name in "ab"], 12, menu=1)
    assert lessons.right == [first.candidates[0][0]]
    next_one = find(judge, space="edits", history=1.0, simulations=200, seed=2, menu=list(lessons.right))
    assert next_one.chains[1][0] == lessons.right[0]
    assert lessons.changes is not None
    needed = [0, 3, 5, 9, 11]
    others = [layer for layer in range(12) if layer not in needed]
    assert lessons.changes[0, needed].max() < lessons.changes[0, others].min()


def test_searches_without_a_tree_teach_no_changes() -> None:
    """An array of zeros would tell the next history that no layer differs from the others, which nobody measured."""
    found = find(needs(0, 3, num_layers=12), algorithm="hill_climbing", simulations=40)
    assert found.tree == []
    assert learn([Searched.of_outcome("a", found)], 12, menu=1).changes is None
    assert learn([], 12, menu=1).changes is None


def test_a_chain_that_stock_transformers_refuted_teaches_nothing_right() -> None:
    searched = Searched.of_record(record(verified={"0-11": True, "0-8": False}))
    assert [(str(chain), right) for chain, right, _ in searched.chains] == [("0-11", True), ("0-8", False)]


def test_the_menu_takes_first_what_solves_most_of_what_is_left() -> None:
    wide, same, rest = Chain([0, 1]), Chain([0, 2]), Chain([0])
    solved = {same: {"a", "b"}, rest: {"d"}, wide: {"a", "b", "c"}}
    assert greedy_menu(solved, size=5) == [wide, rest]


def test_the_menu_is_cut_at_its_size_and_prefers_shorter_chains() -> None:
    assert greedy_menu({Chain([0, 1, 2]): {"a"}, Chain([0, 2]): {"b"}}, size=1) == [Chain([0, 2])]


def test_a_menu_goes_by_what_a_chain_is_worth_to_the_samples_that_it_solves() -> None:
    """The short chain is worth more to "a" than the long one, which alone solves "b"; what adds nothing is left out."""
    long, short, no_more = Chain([0, 1, 2, 3]), Chain([0]), Chain([1, 2])
    solved = {long: {"a", "b"}, short: {"a"}, no_more: {"a"}}
    worth = {long: 0.5, short: 0.9, no_more: 0.7}
    assert greedy_menu(solved, 5, worth.__getitem__) == [long, short]
