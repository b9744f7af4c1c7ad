"""Ids of items: the data set's own, made when they are asked for."""

import sys
from typing import Any

import numpy as np
import pytest

from cola_search.tasks.ids import Ids, has_own_ids


class Numbered:
    """A data set of documents that are made when they are read, as those on a disk."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"id": f"a/long/name/of/an/item/{range(self.count)[index]}"}


def ids(*docs: Any) -> Ids:
    places = [(part, i) for part, each in enumerate(docs) for i in range(len(each))]
    prefixes = [f"{part}/" if len(docs) > 1 else "" for part in range(len(docs))]
    return Ids(np.array(places, dtype=np.int32), docs, prefixes)


@pytest.mark.parametrize(
    ("docs", "own"),
    [
        ([{"id": "a"}, {"id": 7}], True),
        ([{"id": "a"}, {"id": "a"}], False),
        ([{"id": ""}, {"id": "a"}], False),
        ([{"key": "a"}], False),
        ([], False),
    ],
)
def test_the_data_sets_own_ids_are_used_only_if_they_are_unique(docs: list[dict[str, Any]], own: bool) -> None:
    assert has_own_ids(docs) is own


def test_parts_have_their_own_prefix_and_places_stand_in_for_missing_ids() -> None:
    some = ids([{"id": "a"}, {"id": 7}], [{"key": 1}, {"key": 2}])
    assert list(some) == ["0/a", "0/7", "1/0", "1/1"]
    assert (some[-1], some[1:3], list(some.first(2)), list(some.first(None))) == (
        "1/1", ["0/7", "1/0"], ["0/a", "0/7"], list(some),
    )  # fmt: skip


def test_an_id_leads_to_its_position_and_an_unknown_one_to_none() -> None:
    some = ids([{"id": f"x{i}"} for i in range(500)])
    assert [some.position(id_) for id_ in some] == list(range(500))
    assert some.position("x500") is None and some.position("") is None


def test_many_ids_take_no_more_memory_than_as_many_numbers() -> None:
    some = ids(Numbered(20_000))
    assert some.position("a/long/name/of/an/item/19999") == 19_999
    held = [value for value in vars(some).values() if isinstance(value, np.ndarray)] + list(some._sorted)
    assert sum(array.nbytes for array in held) <= 20 * 20_000
    assert all(sys.getsizeof(value) < 1000 for value in vars(some).values() if not isinstance(value, np.ndarray))
