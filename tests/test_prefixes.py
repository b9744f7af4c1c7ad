"""The pool of rows and what is dropped from it."""

import numpy as np
import pytest
import torch

from cola_search.model.prefixes import Prefixes, RowPool


def pool(capacity: int = 12) -> RowPool:
    return RowPool(capacity, 2, torch.float32, torch.device("cpu"))


def chain_of(prefixes: Prefixes, *layers: int) -> list:
    nodes, node = [], prefixes.root
    for layer in layers:
        node = node.child(layer)
        nodes.append(node)
    return nodes


def test_rows_come_back_as_they_were_written() -> None:
    rows = pool()
    taken = rows.take(3)
    rows.write(taken, torch.arange(6.0).view(3, 2))
    assert rows.read(taken[::-1].copy()).tolist() == [[4, 5], [2, 3], [0, 1]]


def test_row_zero_is_never_handed_out_and_stays_zero() -> None:
    rows = pool()
    taken = rows.take(12)
    rows.write(taken, torch.ones(12, 2))
    assert 0 not in taken
    assert rows.read(np.array([0])).tolist() == [[0, 0]]


def test_more_rows_than_are_free_cannot_be_taken() -> None:
    with pytest.raises(MemoryError):
        pool(2).take(3)


def test_a_sample_never_holds_more_than_its_quota() -> None:
    rows = pool()
    prefixes = Prefixes(rows, quota=6, num_rows=2)
    prefixes.keep([prefixes.root])
    for layer in range(5):
        prefixes.keep([prefixes.root.child(layer)])
        assert rows.used_rows <= 6


def test_the_states_that_were_not_touched_for_longest_go_first() -> None:
    prefixes = Prefixes(pool(), quota=6, num_rows=2)
    prefixes.keep([prefixes.root])
    old, new = prefixes.root.child(0), prefixes.root.child(1)
    prefixes.keep([old, new])
    new.used = 1
    prefixes.keep([prefixes.root.child(2)])
    assert old.rows is None and new.rows is not None and prefixes.root.rows is not None


def test_of_states_equally_old_the_cheapest_to_compute_again_goes_first() -> None:
    prefixes = Prefixes(pool(), quota=8, num_rows=2)
    prefixes.keep([prefixes.root])
    near = prefixes.root.child(9)
    far = chain_of(prefixes, 0, 1, 2)[-1]
    prefixes.keep([far, near])
    prefixes.keep([prefixes.root.child(5), prefixes.root.child(6)])
    assert near.rows is None and far.rows is not None


def test_a_state_that_others_wait_for_is_not_dropped() -> None:
    prefixes = Prefixes(pool(), quota=6, num_rows=2)
    prefixes.keep([prefixes.root])
    waited = prefixes.root.child(0)
    waited.todo.append(waited.child(1))
    prefixes.keep([waited])
    prefixes.keep([prefixes.root.child(2)])
    prefixes.keep([prefixes.root.child(3)])
    assert waited.rows is not None


def test_keys_and_values_of_the_end_of_a_chain_make_room_for_themselves() -> None:
    prefixes = Prefixes(pool(6), quota=6, num_rows=2, kv_pool=pool(6))
    prefixes.keep([prefixes.root, *chain_of(prefixes, 0, 1)])
    prefixes.keep([prefixes.root.child(2)])  # all that the quota holds; the root has no keys and values
    ends = [prefixes.root.child(layer) for layer in (3, 4)]
    prefixes.pinned.update(ends)
    prefixes.take_kv(ends)
    assert all(end.kv_rows is not None for end in ends)
    prefixes.release()
    assert prefixes.kv_pool is not None and prefixes.kv_pool.used_rows == 2 * (len(prefixes.kept) - 1)


def test_closing_gives_every_row_back() -> None:
    rows = pool()
    prefixes = Prefixes(rows, quota=12, num_rows=2)
    prefixes.keep([prefixes.root, *chain_of(prefixes, 0, 1)])
    prefixes.close()
    assert rows.used_rows == 0


def test_keys_and_values_without_a_state_count_against_the_quota() -> None:
    rows, kv = pool(), pool()
    prefixes = Prefixes(rows, quota=8, num_rows=2, kv_pool=kv)
    nodes = [prefixes.root.child(layer) for layer in range(5)]
    prefixes.keep([prefixes.root])
    prefixes.keep(nodes[:3])
    prefixes.take_kv(nodes[3:])
    assert kv.used_rows <= 8 and all(node.kv_rows is not None for node in nodes[3:])
    prefixes.close()
    assert kv.used_rows == rows.used_rows == 0
