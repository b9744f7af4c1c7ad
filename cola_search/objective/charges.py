"""What chains cost on a board: a layer that several of them begin with is paid for once on an item, whoever needed it first."""

from collections.abc import Mapping

import numpy as np

from cola_search.chain import Chain


class _Prefix:
    """The beginning of a chain. Its state would be kept on the first `kept` items, if memory had no end."""

    __slots__ = ("following", "kept")

    def __init__(self) -> None:
        self.kept = 0
        self.following: dict[int, _Prefix] = {}

    def then(self, layer: int) -> "_Prefix":
        """This beginning and one layer more."""
        if layer not in self.following:
            self.following[layer] = _Prefix()
        return self.following[layer]


class Charges:
    """The charges of a board (model.prefixes.Prefixes.charge) for all of its items at once, each chain known of the first so many.

    They follow from what the board has scored alone, and not from which states an engine still holds. So a board that was read
    from its file charges what the one that wrote it would have.
    """

    def __init__(self) -> None:
        self._root = _Prefix()

    def charge(self, firsts: Mapping[Chain, int], start: int, stop: int) -> np.ndarray:
        """Layers to run [stop - start] for the items from `start` on, if each chain is scored from its first one to `stop`.

        The chains count as scored from then on: the states before their ends are kept. firsts: per chain the number of
        items that it is known of.
        """
        begins: dict[_Prefix, int] = {}
        within: dict[_Prefix, None] = {}
        for chain, first in firsts.items():
            prefix = self._root
            for layer in chain:
                within[prefix] = None
                prefix = prefix.then(layer)
                begins[prefix] = min(first, begins.get(prefix, first))
        layers = np.zeros(stop - start, dtype=np.int64)
        for prefix, first in begins.items():
            layers[max(first, prefix.kept, start) - start :] += 1
        for prefix in within:
            prefix.kept = max(prefix.kept, stop)
        return layers
