"""What a layer is handed for a batch that mixes chains and samples: states, arguments and masks, padded to the longest."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from cola_search.model.anatomy import LayerCalls
from cola_search.model.layer_watch import LayerWatch
from cola_search.model.packing import Packed
from cola_search.model.prefixes import Node, Prefixes, RowPool


@dataclass(eq=False)
class Item:
    """One sample on the engine: its packed tokens, what its layers are handed, and the states kept for it.

    reads: rows `[R]` whose final state is wanted.
    masks: per layer the index into `seen` of what its rows may attend to.
    seen: bool tensors `[1, 1, n, n]`.
    layer_executions: layers run so far over its rows, those run again because their state was dropped included.
    watch: told of every layer that is run, with the stream `[1, n, d]`; with one the last layer runs over all rows too.
    """

    packed: Packed
    reads: np.ndarray
    calls: LayerCalls
    masks: list[int]
    seen: list[Tensor]
    prefixes: Prefixes
    layer_executions: float = 0.0
    watch: LayerWatch | None = None
    _widened: dict[tuple[int, int], dict] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        return len(self.packed.ids)

    def call(self, layer: int, size: int) -> dict:
        """What the layer is handed for `size` chains of this item; made once, for it takes as long as a small product."""
        key = self.calls.kinds[layer], size
        if key not in self._widened:
            self._widened[key] = tree_map(lambda value: widen(value, size), self.calls.calls[key[0]])
        return self._widened[key]


@dataclass
class Waiting:
    """The nodes of a running wave whose parent's state is there, by the layer that they need."""

    by_layer: dict[int, list[tuple[Item, Node]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, item: Item, node: Node) -> None:
        self.by_layer[node.layer].append((item, node))

    def next_batch(self) -> tuple[int, list[tuple[Item, Node]]]:
        layer = min(self.by_layer)
        return layer, self.by_layer.pop(layer)


class Stack:
    """What the layers are handed for several items at once, padded to the longest and stacked when a layer first asks."""

    def __init__(self, items: tuple[Item, ...]):
        self.items = items
        self._place = {item: i for i, item in enumerate(items)}
        self._n = max(item.num_rows for item in items)
        self._calls: dict[tuple[int, ...], dict] = {}
        self._masks: dict[tuple[int, ...], Tensor] = {}

    def inputs(self, layer: int, batch: list[tuple[Item, Node]], n: int, device: torch.device) -> tuple[dict, Tensor]:
        """The layer's arguments and mask `[B, 1, n, n]` for a batch whose longest item has n rows."""
        places = np.array([self._place[item] for item, _ in batch])
        index = torch.from_numpy(places).to(device, non_blocking=True)
        mask = self._mask(layer).index_select(0, index)[:, :, :n, :n]
        return tree_map(lambda value: self._pick(value, index, n), self._call(layer)), mask

    def _pick(self, value: object, index: Tensor, n: int) -> object:
        if isinstance(value, Tensor) and value.ndim > 1 and value.shape[:2] == (len(self.items), self._n):
            return value.index_select(0, index)[:, :n]
        return value

    def _call(self, layer: int) -> dict:
        key = tuple(item.calls.kinds[layer] for item in self.items)
        if key not in self._calls:
            calls = [item.calls.calls[kind] for item, kind in zip(self.items, key, strict=True)]
            self._calls[key] = tree_map(lambda *values: stack_padded(values, self._n), *calls)
        return self._calls[key]

    def _mask(self, layer: int) -> Tensor:
        key = tuple(item.masks[layer] for item in self.items)
        if key not in self._masks:
            seen = [item.seen[kind][0, 0] for item, kind in zip(self.items, key, strict=True)]
            mask = torch.eye(self._n, dtype=torch.bool, device=seen[0].device).repeat(len(seen), 1, 1, 1)
            for i, one in enumerate(seen):
                mask[i, 0, : len(one), : len(one)] = one
            self._masks[key] = mask
        return self._masks[key]


def batch_inputs(
    pool: RowPool, layer: int, batch: list[tuple[Item, Node]], stack: Stack | None = None
) -> tuple[Tensor, dict, Tensor]:
    """Hidden states `[B, n, d]`, the layer's arguments and mask `[B, 1, n, n]` for a batch, padded to the longest item.

    The batch is in order of length, longest first; `stack` holds at least its items.
    """
    items = list(dict.fromkeys(item for item, _ in batch))
    n, size = items[0].num_rows, len(batch)
    rows = np.zeros((size, n), dtype=np.int64)
    for i, (item, node) in enumerate(batch):
        rows[i, : item.num_rows] = rows_of(node.origin)
    hidden = pool.read(rows)
    if len(items) == 1:
        item = items[0]
        return hidden, item.call(layer, size), item.seen[item.masks[layer]].expand(size, -1, -1, -1)
    return hidden, *(stack or Stack(tuple(items))).inputs(layer, batch, n, hidden.device)


def rows_of(node: Node) -> np.ndarray:
    """The pool rows of a kept state."""
    assert node.rows is not None, "a state that is waited for is never dropped"
    return node.rows


def kv_rows_of(node: Node) -> np.ndarray:
    """The pool rows of a prefix's keys and values."""
    assert node.kv_rows is not None, "keys and values are had with the state, or by take_kv"
    return node.kv_rows


def own_rows(batch: list[tuple[Item, Node]], values: Tensor, pool: RowPool) -> Tensor:
    """Of `[B, n, width]` the rows that are no padding, one item after the other, as wide as the pool's: `[N, pool width]`."""
    size, n = values.shape[:2]
    flat = values.reshape(size * n, -1)
    lengths = [item.num_rows for item, _ in batch]
    if min(lengths) < n:
        own = np.flatnonzero(np.arange(n) < np.array(lengths)[:, None])
        flat = flat.index_select(0, torch.from_numpy(own).to(flat.device, non_blocking=True))
    missing = pool.data.shape[1] - flat.shape[1]
    return torch.nn.functional.pad(flat, (0, missing)) if missing > 0 else flat


def room_for(items: list[Item], ends: list[list[Node]], pool: RowPool) -> dict[Node, Tensor]:
    """Where each chain's final rows `[R, d]` will be: in one tensor, or they would break the heap of the layers into pieces."""
    sizes = {node: len(item.reads) for item, nodes in zip(items, ends, strict=True) for node in nodes}
    room = pool.data.new_empty(sum(sizes.values()), pool.data.shape[1])
    return dict(zip(sizes, room.split(list(sizes.values())), strict=True))


def groups_by_length(batch: list[tuple[Item, Node]], max_tokens: int) -> list[list[tuple[Item, Node]]]:
    """Splits a batch by length, so that padding stays under a quarter and no group has more than `max_tokens` rows."""
    groups: list[list[tuple[Item, Node]]] = []
    for item, node in sorted(batch, key=lambda pair: -pair[0].num_rows):
        longest = groups[-1][0][0].num_rows if groups else 0
        full = groups and (len(groups[-1]) + 1) * longest > max_tokens
        if not groups or full or item.num_rows < 0.75 * longest:
            groups.append([])
        groups[-1].append((item, node))
    return groups


def by_item(batch: list[tuple[Item, Node]]) -> dict[Item, list[Node]]:
    """The nodes of a batch by item, in order."""
    nodes: dict[Item, list[Node]] = defaultdict(list)
    for item, node in batch:
        nodes[item].append(node)
    return nodes


def widen(value: object, size: int) -> object:
    """A tensor with a leading axis of 1 widened to `size` without copying; anything else as it is."""
    if isinstance(value, Tensor) and value.ndim and value.shape[0] == 1:
        return value.expand(size, *value.shape[1:])
    return value


def stack_padded(values: tuple, n: int) -> object:
    """Per-item tensors `[1, n_i, ...]` padded to n and stacked `[items, n, ...]`; anything else must be the same."""
    first = values[0]
    if not isinstance(first, Tensor) or first.ndim < 2 or first.shape[0] != 1:
        return first
    return torch.cat([torch.nn.functional.pad(v, (0, 0) * (v.ndim - 2) + (0, n - v.shape[1])) for v in values])
