"""The ids of a task's items."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np

from cola_search.digests import digest, digests, find

Docs = Sequence[dict[str, Any]]


class Ids(Sequence[str]):
    """The ids of items in order, each made when it is asked for: a million of them take what a million numbers take.

    places: `[n, 2]`, the part and the index in it of every item; docs: the documents of the parts; prefixes: what stands
    before the id in each part. An id is the data set's own where these are unique in the part, else the index.
    """

    def __init__(self, places: np.ndarray, docs: Sequence[Docs], prefixes: Sequence[str]) -> None:
        self._places, self._docs, self._prefixes = places, docs, prefixes
        self._own = [has_own_ids(each) for each in docs]

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, key: int) -> str: ...
    @overload
    def __getitem__(self, key: slice) -> list[str]: ...
    def __getitem__(self, key: int | slice) -> str | list[str]:
        if isinstance(key, slice):
            return [self[i] for i in range(*key.indices(len(self)))]
        part, index = self._places[range(len(self))[key]].tolist()
        return self._prefixes[part] + (str(self._docs[part][index]["id"]) if self._own[part] else str(index))

    def first(self, count: int | None) -> Iterator[str]:
        """The first so many ids, or all of them, one by one."""
        return (self[i] for i in range(len(self))[:count])

    def position(self, id_: str) -> int | None:
        """Where the item with this id is; None if there is none."""
        numbers, order = self._sorted
        place = find(numbers, digest(id_))
        return None if place is None else int(order[place])

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        """The ids' numbers `[n]` in rising order, and the positions `[n]` of their items."""
        numbers = digests(self)
        order = np.argsort(numbers).astype(np.int32)
        return numbers[order], order


def has_own_ids(docs: Docs) -> bool:
    """Whether the data set names its items, each by another id."""
    columns = getattr(docs, "column_names", None) or (list(docs[0]) if len(docs) else [])
    if "id" not in columns:
        return False
    own: Any = docs
    column = own["id"] if hasattr(docs, "column_names") else [doc["id"] for doc in docs]
    return all(map(str, column)) and len(np.unique(digests(map(str, column)))) == len(docs)
