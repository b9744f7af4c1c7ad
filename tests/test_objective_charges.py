"""What chains cost on a board."""

from cola_search.chain import Chain
from cola_search.objective.charges import Charges

BASE = Chain.identity(4)


def test_what_chains_begin_with_together_is_charged_once_an_item() -> None:
    assert Charges().charge({BASE: 0, Chain((0, 1, 3)): 0}, 0, 2).tolist() == [5, 5]


def test_a_state_before_the_end_of_a_chain_is_kept_and_the_one_at_its_end_is_not() -> None:
    known = Charges()
    assert known.charge({BASE: 0}, 0, 3).tolist() == [4, 4, 4]
    assert known.charge({Chain((0, 1)): 0, Chain((0, 1, 2, 3, 3)): 0}, 0, 3).tolist() == [2, 2, 2]


def test_items_that_a_chain_did_not_see_are_charged_in_full() -> None:
    known = Charges()
    known.charge({BASE: 0}, 0, 2)
    assert known.charge({Chain((0, 1, 3)): 0}, 0, 4).tolist() == [1, 1, 3, 3]
    assert known.charge({BASE: 2}, 0, 4).tolist() == [0, 0, 2, 2]


def test_charges_of_a_later_chunk_of_items_are_those_of_its_items() -> None:
    known = Charges()
    known.charge({BASE: 0}, 0, 300)
    known.charge({Chain((1, 2)): 0}, 0, 256)
    assert known.charge({Chain((1, 2)): 256, Chain((0, 2)): 256}, 256, 302).tolist() == [3] * 44 + [4] * 2
