"""What a layer is handed for a batch that mixes chains and samples: states, arguments and masks."""

import functools
import itertools
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from cola_search.model.anatomy import LayerCalls
from cola_search.model.attention import groups_of_sequences, ragged_mask
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
    _last_sees: dict[int, Tensor] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        return len(self.packed.ids)

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """How many rows it has, and how many of them are read."""
        return self.num_rows, len(self.reads)

    def last_sees(self, kind: int) -> Tensor:
        """What the rows that are read see in the last layer, bool `[1, 1, R, n]`: the other rows first, then themselves."""
        if kind not in self._last_sees:
            order = torch.from_numpy(np.concatenate([self.unread, self.reads])).to(self.seen[kind].device)
            reads = order[len(self.unread) :]
            self._last_sees[kind] = self.seen[kind].index_select(2, reads).index_select(3, order)
        return self._last_sees[kind]

    @functools.cached_property
    def unread(self) -> np.ndarray:
        """The rows that are not read, in order."""
        return np.setdiff1d(np.arange(self.num_rows), self.reads)

    def call(self, layer: int, size: int) -> dict:
        """What the layer is handed for `size` chains of this item; made once, for it takes as long as a small product."""
        key = self.calls.kinds[layer], size
        if key not in self._widened:
            self._widened[key] = tree_map(lambda value: widen(value, size), self.calls.calls[key[0]])
        return self._widened[key]


Pairs = list[tuple[Item, Node]]  # a chain's prefix that a layer is run for, with its item


@dataclass
class Waiting:
    """The nodes of a running wave whose parent's state is there, by the layer that they need."""

    by_layer: dict[int, Pairs] = field(default_factory=lambda: defaultdict(list))

    def add(self, item: Item, node: Node) -> None:
        self.by_layer[node.layer].append((item, node))

    def next_batch(self) -> tuple[int, Pairs]:
        layer = min(self.by_layer)
        return layer, self.by_layer.pop(layer)


class Stack:
    """What the layers are handed for several items that share batches, one behind the other, made when a layer first asks."""

    def __init__(self, items: tuple[Item, ...]):
        self.items = items
        self._place = {item: i for i, item in enumerate(items)}
        lengths = [item.num_rows for item in items]
        self._starts = np.cumsum([0, *lengths])
        self._rows = [np.arange(a, b) for a, b in itertools.pairwise(self._starts)]
        self._calls: dict[tuple[int, ...], dict] = {}
        self._masks: dict[tuple[bool, tuple[int, ...]], Tensor] = {}

    def places(self, batch: Pairs) -> np.ndarray:
        """Which of the items each chain of the batch is of, `[B]`."""
        return np.array([self._place[item] for item, _ in batch])

    def call(self, layer: int, places: np.ndarray, device: torch.device) -> dict:
        """The layer's arguments `[1, N, ...]` for chains of the items at these places, one behind the other."""
        rows = torch.from_numpy(np.concatenate([self._rows[place] for place in places])).to(device, non_blocking=True)
        return pick(self._call(layer), int(self._starts[-1]), rows)

    def _call(self, layer: int) -> dict:
        key = tuple(item.calls.kinds[layer] for item in self.items)
        if key not in self._calls:
            calls = [item.calls.calls[kind] for item, kind in zip(self.items, key, strict=True)]
            self._calls[key] = tree_map(lambda *values: joined(values, np.diff(self._starts)), *calls)
        return self._calls[key]

    def mask(self, layer: int, *, last: bool = False) -> Tensor:
        """Bool `[items, 1, Q, K]`: what each item's rows see, in front of what fills up; if `last`, as `Item.last_sees`."""
        key = last, tuple(item.masks[layer] for item in self.items)
        if key not in self._masks:
            seen = [
                item.last_sees(kind) if last else item.seen[kind] for item, kind in zip(self.items, key[1], strict=True)
            ]
            size = [max(one.shape[axis] for one in seen) for axis in (2, 3)]
            mask = torch.zeros(len(seen), 1, *size, dtype=torch.bool, device=seen[0].device)
            for i, one in enumerate(seen):
                mask[i, 0, : one.shape[2], : one.shape[3]] = one
            self._masks[key] = mask
        return self._masks[key]


@dataclass
class Batch:
    """What a layer is handed for chains that run it together.

    hidden: states `[B, n, d]` of chains of one item; of several items `[1, N, d]`, one chain behind the other.
    mask: bool `[B, 1, n, n]`, or one that knows the sequences.
    starts: where each chain begins `[B]` in the rows of `hidden`, which are in the order of the chains.
    stack, places: of several items, and which of them each chain is of; None where there is one.
    """

    pairs: Pairs
    hidden: Tensor
    call: dict
    mask: Tensor
    starts: np.ndarray
    stack: Stack | None = None
    places: np.ndarray | None = None

    @functools.cached_property
    def laid(self) -> list[tuple[int, Item, Node]]:
        """The chains, each with the row where it begins."""
        return [(start, item, node) for start, (item, node) in zip(self.starts.tolist(), self.pairs, strict=True)]


def batch_inputs(pool: RowPool, layer: int, pairs: Pairs, stack: Stack | None = None) -> Batch:
    """The batch of these chains, those of one length next to each other; `stack` holds at least their items."""
    lengths = np.array([item.num_rows for item, _ in pairs])
    starts = np.cumsum(lengths) - lengths
    hidden = pool.read(np.concatenate([rows_of(node.origin) for _, node in pairs]))
    items = dict.fromkeys(item for item, _ in pairs)
    if len(items) == 1:
        (item,), size = items, len(pairs)
        mask = item.seen[item.masks[layer]].expand(size, -1, -1, -1)
        return Batch(pairs, hidden.unflatten(0, (size, -1)), item.call(layer, size), mask, starts)
    stack = stack or Stack(tuple(items))
    places = stack.places(pairs)
    groups = groups_of_sequences(stack.mask(layer), places, lengths, lengths)
    mask = ragged_mask(groups, len(hidden), len(hidden), hidden.device)
    return Batch(pairs, hidden[None], stack.call(layer, places, hidden.device), mask, starts, stack, places)


def rows_of(node: Node) -> np.ndarray:
    """The pool rows of a kept state."""
    assert node.rows is not None, "a state that is waited for is never dropped"
    return node.rows


def kv_rows_of(node: Node) -> np.ndarray:
    """The pool rows of a prefix's keys and values."""
    assert node.kv_rows is not None, "keys and values are had with the state, or by take_kv"
    return node.kv_rows


def as_rows(values: Tensor, pool: RowPool) -> Tensor:
    """`[..., width]` as rows that are as wide as the pool's: `[N, pool width]`."""
    flat = values.reshape(-1, values.shape[-1])
    missing = pool.data.shape[1] - flat.shape[1]
    return torch.nn.functional.pad(flat, (0, missing)) if missing > 0 else flat


def room_for(items: list[Item], ends: list[list[Node]], pool: RowPool) -> dict[Node, Tensor]:
    """Room for each chain's final rows `[R, d]`, all in one tensor: small ones among the layers' blocks would fragment the heap."""
    sizes = {node: len(item.reads) for item, nodes in zip(items, ends, strict=True) for node in nodes}
    room = pool.data.new_empty(sum(sizes.values()), pool.data.shape[1])
    return dict(zip(sizes, room.split(list(sizes.values())), strict=True))


def groups_of(batch: Pairs, max_tokens: int, mixed: bool) -> list[Pairs]:
    """Splits a batch so that no group has more than `max_tokens` rows, or more than one item unless `mixed`.

    Items with as many rows, and as many that are read, are next to each other.
    """
    groups: list[Pairs] = []
    rows = 0
    for item, node in sorted(batch, key=lambda pair: pair[0].size) if mixed else one_by_one(batch):
        rows += item.num_rows
        if not groups or rows > max_tokens or not (mixed or item is groups[-1][0][0]):
            groups.append([])
            rows = item.num_rows
        groups[-1].append((item, node))
    return groups


def one_by_one(batch: Pairs) -> Pairs:
    """The batch with all chains of an item next to each other."""
    return [(item, node) for item, nodes in by_item(batch).items() for node in nodes]


def by_item(batch: Pairs) -> dict[Item, list[Node]]:
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


def row_axis(value: object, n: int) -> int | None:
    """Which axis of `[B, n, ...]` or `[n, ...]` is that of the n rows; None for anything else."""
    if not isinstance(value, Tensor):
        return None
    return next((axis for axis in (1, 0) if axis < value.ndim and value.shape[axis] == n), None)


def joined(values: tuple, lengths: np.ndarray) -> object:
    """Per-item tensors of n_i rows one behind the other; anything else must be the same, and the first is it."""
    axes = {row_axis(value, n) for value, n in zip(values, lengths.tolist(), strict=True)}
    axis = axes.pop()
    return values[0] if axis is None or axes else torch.cat(values, axis)


def pick(call: dict, n: int, rows: Tensor) -> dict:
    """The layer's arguments for some `[R]` of its n rows; what has no such rows stays as it is."""

    def one(value: object) -> object:
        axis = row_axis(value, n)
        return value if axis is None else value.index_select(axis, rows)  # type: ignore[attr-defined]

    return tree_map(one, call)
