import pytest

from cola_search.chain import Chain
from cola_search.outcome import Ledger, Score
from cola_search.search_settings import SearchSettings
from cola_search.stopping import goal_reached, out_of_budget


def book(base_right: bool, *right: Chain, cost: float = 1.0) -> Ledger:
    ledger = Ledger(num_layers=8)
    ledger.record([Chain.identity(8)], [Score(base_right, 0.0)], cost)
    ledger.record(right, [Score(True, 1.0)] * len(right), cost)
    ledger.simulations = 1 + len(right)
    return ledger


def reached(ledger: Ledger, floor: int = 1, **settings: object) -> bool:
    return goal_reached(ledger, SearchSettings(**settings), floor)  # type: ignore[arg-type]


SHORTER, MUCH_SHORTER, LONGER = Chain(range(7)), Chain(range(3)), Chain([*range(8), 7])


def test_a_sample_is_solved_when_no_legal_chain_is_shorter() -> None:
    assert reached(book(True, MUCH_SHORTER), floor=3)
    assert not reached(book(True, MUCH_SHORTER), floor=2)


def test_nothing_stops_a_search_without_a_right_chain() -> None:
    assert not reached(book(False), floor=8, stop="first_fix", target_length=8)


@pytest.mark.parametrize("ledger", [book(True), book(False, LONGER)])
def test_first_fix_stops_at_the_first_right_chain(ledger: Ledger) -> None:
    assert reached(ledger, stop="first_fix")
    assert not reached(ledger)


def test_improved_stops_when_a_wrong_base_is_fixed_at_any_length() -> None:
    assert reached(book(False, LONGER), stop="improved")


def test_improved_stops_when_a_right_base_is_shorter_by_enough() -> None:
    assert not reached(book(True), stop="improved")
    assert reached(book(True, SHORTER), stop="improved")
    assert not reached(book(True, SHORTER), stop="improved", improved_by=2)


def test_the_target_length_stops_the_search() -> None:
    assert reached(book(True, MUCH_SHORTER), target_length=3)
    assert not reached(book(True, MUCH_SHORTER), target_length=2)


def test_the_budgets_are_simulations_and_layer_executions() -> None:
    assert out_of_budget(book(True, SHORTER), SearchSettings(simulations=2))
    assert not out_of_budget(book(True, SHORTER), SearchSettings(simulations=3))
    assert out_of_budget(book(True, SHORTER, cost=5.0), SearchSettings(max_layer_executions=10))
    assert not out_of_budget(book(True, SHORTER, cost=4.0), SearchSettings(max_layer_executions=10))
