"""Kept hidden states: one per chain prefix and sample, in a pool of rows with a fixed size in bytes."""

import numpy as np
import torch
from torch import Tensor


class RowPool:
    """A fixed number of tensor rows `[capacity, width]`, handed out and taken back by index. Row 0 is always zero.

    The memory is reserved at once and, on a CPU, touched only as it is used.
    """

    def __init__(self, capacity: int, width: int, dtype: torch.dtype, device: torch.device):
        self.row_bytes = width * dtype.itemsize
        self.capacity = capacity
        self.data = torch.empty(self.capacity + 1, width, dtype=dtype, device=device)
        self.data[0] = 0
        self._free = np.arange(self.capacity, 0, -1)
        self._num_free = self.capacity
        self.peak_rows = 0

    @property
    def used_rows(self) -> int:
        return self.capacity - self._num_free

    def take(self, count: int) -> np.ndarray:
        """Indices of `count` free rows. The caller has made sure that there are as many."""
        if count > self._num_free:
            raise MemoryError(f"{count} rows wanted, {self._num_free} free")
        self._num_free -= count
        self.peak_rows = max(self.peak_rows, self.used_rows)
        return self._free[self._num_free : self._num_free + count].copy()

    def give_back(self, rows: np.ndarray) -> None:
        self._free[self._num_free : self._num_free + len(rows)] = rows
        self._num_free += len(rows)

    def read(self, rows: np.ndarray) -> Tensor:
        """Rows `[..., width]` for indices `[...]`, as a copy."""
        flat = self.data.index_select(0, self._index(rows))
        return flat.view(*rows.shape, -1)

    def write(self, rows: np.ndarray, values: Tensor) -> None:
        """Stores values `[N, width]`, wherever they are, at indices `[N]`."""
        self.data.index_copy_(0, self._index(rows), values.to(self.data.device))

    def _index(self, rows: np.ndarray) -> Tensor:
        index = torch.from_numpy(np.ascontiguousarray(rows).reshape(-1))
        return index.to(self.data.device, non_blocking=True)


class Node:
    """A chain prefix of one sample: its last layer, where its state is kept, and what still waits for it."""

    __slots__ = ("charged", "children", "kv_rows", "layer", "parent", "rows", "todo", "used")

    def __init__(self, layer: int, parent: "Node | None"):
        self.layer = layer
        self.parent = parent
        self.children: dict[int, Node] = {}
        self.rows: np.ndarray | None = None  # pool rows [n] of the hidden state after this prefix
        self.kv_rows: np.ndarray | None = None  # pool rows [n] of the keys and values of the last layer of this prefix
        self.used = 0  # the last wave that touched it
        self.charged = False  # whether its layers are paid for: its state would be kept by now if memory were unlimited
        self.todo: list[Node] = []  # children that the running wave still has to compute from it

    @property
    def origin(self) -> "Node":
        """The prefix that this one extends; the root has none."""
        assert self.parent is not None
        return self.parent

    def child(self, layer: int) -> "Node":
        node = self.children.get(layer)
        if node is None:
            node = self.children[layer] = Node(layer, self)
        return node

    def distance(self) -> int:
        """Layers to run to have this state again, from the nearest kept ancestor."""
        steps, node = 1, self.parent
        while node is not None and node.rows is None:
            steps, node = steps + 1, node.parent
        return steps


class Prefixes:
    """The kept states of one sample, at most `quota` rows of the pool.

    What makes room first: states that no recent wave has touched, and of these the ones that are cheapest to compute again.
    """

    def __init__(self, pool: RowPool, quota: int, num_rows: int, kv_pool: RowPool | None = None):
        self.pool, self.quota, self.num_rows, self.kv_pool = pool, quota, num_rows, kv_pool
        self.root = Node(-1, None)
        self.kept: dict[Node, None] = {}  # in order of arrival, so that what is dropped does not depend on addresses
        self.pinned: set[Node] = set()  # prefixes whose keys and values a generation under way needs
        self.kv_only: list[Node] = []  # of these the ones whose state is not kept
        self.wave = 0

    def charge(self, chains: list[tuple[int, ...]], *, watched: bool = False) -> int:
        """Layers that these chains run where nothing is ever dropped: their cost, whatever memory this machine has.

        The state at the end of a chain is not kept, unless the chain is watched or another one goes on from it.
        """
        new: set[Node] = set()
        kept: set[Node] = set()
        for chain in chains:
            node = self.root
            for layer in chain:
                kept.add(node)
                node = node.child(layer)
                if not node.charged:
                    new.add(node)
            kept.update([node] if watched else [])
        for node in kept:
            node.charged = True
        return len(new)

    def keep(self, nodes: list[Node]) -> np.ndarray:
        """Pool rows `[B * n]` for the states of the nodes, making room as needed."""
        self.make_room(len(nodes))
        rows = self.pool.take(len(nodes) * self.num_rows)
        for i, node in enumerate(nodes):
            node.rows = rows[i * self.num_rows : (i + 1) * self.num_rows]
            node.used = self.wave
        self.kept.update(dict.fromkeys(nodes))
        if self.kv_pool is not None:
            for node in nodes:
                node.kv_rows = None if node is self.root else self.kv_pool.take(self.num_rows)
        return rows

    def make_room(self, states: int) -> None:
        """Drops kept states until `states` more fit into the quota; states that are waited for stay.

        Keys and values take a row each as states do, and some are kept without theirs.
        """
        excess = len(self.kept) + len(self.kv_only) + states - self.quota // self.num_rows
        if excess <= 0:
            return
        spare = [node for node in self.kept if not node.todo and node is not self.root and node not in self.pinned]
        spare.sort(key=lambda node: (node.used, node.distance()))
        for node in spare[: excess + len(spare) // 8]:  # some more than needed: the next call need not sort again
            self._drop(node)

    def take_kv(self, nodes: list[Node]) -> None:
        """Rows for the keys and values of prefixes whose state is not kept; `release` gives them back."""
        assert self.kv_pool is not None
        self.make_room(len(nodes))
        for node in nodes:
            node.kv_rows = self.kv_pool.take(self.num_rows)
        self.kv_only += nodes

    def release(self) -> None:
        """Ends a generation: nothing is pinned any more; keys and values without a state go, and states beyond the quota."""
        for node in self.kv_only:
            self._give_back(node)
        self.kv_only.clear()
        self.pinned.clear()
        self.make_room(0)

    def reset(self) -> None:
        """Drops all states but the root's, after a wave that failed: what it had planned or half stored is no state."""
        nodes = [self.root]
        for node in nodes:  # which grows on the way
            nodes += node.children.values()
            node.todo.clear()
        for node in nodes[1:]:
            self._give_back(node)
        self.kept = {self.root: None}
        self.kv_only.clear()
        self.pinned.clear()

    def _drop(self, node: Node) -> None:
        assert node.rows is not None
        self._give_back(node)
        del self.kept[node]

    def _give_back(self, node: Node) -> None:
        if node.rows is not None:
            self.pool.give_back(node.rows)
        if node.kv_rows is not None and self.kv_pool is not None:
            self.kv_pool.give_back(node.kv_rows)
        node.rows = node.kv_rows = None

    def close(self) -> None:
        """Gives everything back."""
        self.release()
        for node in list(self.kept):
            self._drop(node)
