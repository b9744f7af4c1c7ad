"""One layer for some of its rows only: the others give their keys and values and nothing else.

Works for every family through the cache protocol: a layer hands its keys and values to `cache.update`. A cache that stops the
layer right there costs the projections only; a cache that puts those keys and values in front lets the wanted rows attend to them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from cola_search.model.anatomy import Anatomy


class NothingCached:
    """What a layer may ask a cache besides `update`: nothing came before."""

    def get_seq_length(self, *args, **kwargs) -> int:
        return 0


class KeysAndValues(Exception):
    """Carries keys and values `[B, heads, n, width]` out of a layer that need not go on."""

    def __init__(self, keys: Tensor, values: Tensor):
        super().__init__()
        self.keys, self.values = keys, values


class StopAtUpdate(NothingCached):
    """A cache that ends the layer as soon as its keys and values are known."""

    def update(self, keys: Tensor, values: Tensor, *args, **kwargs):
        raise KeysAndValues(keys, values)


class Capture(NothingCached):
    """A cache that remembers the keys and values `[B, heads, n, width]` of one layer call, behind those of other rows if given.

    order: `[B, n]`, the row of its sample that each of them is; None where they are in order.
    """

    def __init__(self, keys: Tensor | None = None, values: Tensor | None = None, order: Tensor | None = None):
        self.keys, self.values, self.order = keys, values, order

    def update(self, keys: Tensor, values: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        self.keys = keys if self.keys is None else torch.cat([self.keys, keys], dim=2)
        self.values = values if self.values is None else torch.cat([self.values, values], dim=2)
        return self.keys, self.values

    def flat(self) -> Tensor:
        """Keys and values `[B, n, width]` side by side, in the sample's row order."""
        assert self.keys is not None and self.values is not None
        flat = torch.cat([self.keys.transpose(1, 2).flatten(2), self.values.transpose(1, 2).flatten(2)], dim=-1)
        if self.order is None:
            return flat
        ordered = torch.zeros_like(flat)
        ordered[torch.arange(len(flat), device=flat.device)[:, None], self.order.to(flat.device)] = flat
        return ordered


@dataclass(frozen=True)
class KvLayout:
    """Shapes of keys and values per layer: (key heads, key width, value heads, value width). `width` is the widest sum."""

    shapes: list[tuple[int, int, int, int]]
    width: int

    @classmethod
    def of(cls, anatomy: Anatomy) -> "KvLayout":
        """The layout, learnt by asking every layer for the keys and values of one token."""
        zero = torch.zeros(1, 1, dtype=torch.long, device=anatomy.device)
        mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=anatomy.device)
        shapes = []
        with torch.inference_mode():
            calls = anatomy.watch_calls(zero, zero)
            for layer, kind in enumerate(calls.kinds):
                keys, values = keys_and_values(anatomy, layer, calls.hidden, calls.calls[kind], mask)
                shapes.append((keys.shape[1], keys.shape[3], values.shape[1], values.shape[3]))
        return cls(shapes, max(kh * kw + vh * vw for kh, kw, vh, vw in shapes))


def keys_and_values(anatomy: Anatomy, layer: int, hidden: Tensor, call: dict, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The layer's keys and values `[B, heads, n, width]` for hidden states `[B, n, d]`, at the cost of the projections."""
    try:
        anatomy.run_layer(layer, hidden, call, mask, StopAtUpdate())
    except KeysAndValues as found:
        return found.keys, found.values
    raise RuntimeError(f"layer {layer} never asked its cache for keys and values")


def run_rows(
    anatomy: Anatomy, layer: int, hidden: Tensor, call: dict, mask: Tensor, rows: list[np.ndarray]
) -> tuple[Tensor, Capture]:
    """Output `[B, R, d]` of a layer for some rows of each sequence, and the keys and values of all rows.

    hidden: states `[B, n, d]`; mask: bool `[B, 1, n, n]`; rows: per sequence the wanted rows, R of them or fewer (what comes
    out behind a sequence's own is of no meaning).
    """
    size, n = hidden.shape[:2]
    wanted, real = padded(rows, hidden.device)
    rest = [unread(some, n) for some in rows]
    if not any(len(some) for some in rest):
        cache = Capture()
        return anatomy.run_layer(layer, hidden, call, mask, cache), cache
    others, other_real = padded(rest, hidden.device)
    at = torch.arange(size, device=hidden.device)[:, None]
    seen = mask[:, 0]
    keys, values = keys_and_values(
        anatomy, layer, hidden[at, others], pick(call, n, at, others), mask[:, :, :1, : others.shape[1]]
    )
    order = torch.cat([others, wanted], dim=1)
    columns = torch.cat([other_real, real], dim=1)  # a row that only fills up must not be looked at twice
    sub = seen[at[:, :, None], wanted[:, :, None], order[:, None, :]] & columns[:, None, :]
    cache = Capture(keys, values, order)
    return anatomy.run_layer(layer, hidden[at, wanted], pick(call, n, at, wanted), sub[:, None], cache), cache


def unread(rows: np.ndarray, n: int) -> np.ndarray:
    """The others of rows 0 to n - 1, in order; as np.setdiff1d, which takes longer than a small layer."""
    free = np.ones(n, dtype=bool)
    free[rows] = False
    return np.flatnonzero(free)


def padded(rows: list[np.ndarray], device: torch.device) -> tuple[Tensor, Tensor]:
    """Row indices `[B, R]`, short lists filled up with their first (or row 0), and which of them are real."""
    longest = max(map(len, rows))
    index = np.zeros((len(rows), longest), dtype=np.int64)
    real = np.zeros((len(rows), longest), dtype=bool)
    for i, some in enumerate(rows):
        index[i, : len(some)], index[i, len(some) :] = some, some[0] if len(some) else 0
        real[i, : len(some)] = True
    return torch.from_numpy(index).to(device, non_blocking=True), torch.from_numpy(real).to(device, non_blocking=True)


def pick(call: dict, n: int, at: Tensor, rows: Tensor) -> dict:
    """The layer's arguments for some rows: tensors `[B, n, ...]` are indexed by `[B, 1]` and `[B, R]`, anything else stays."""

    def one(value: object) -> object:
        if isinstance(value, Tensor) and value.ndim >= 2 and value.shape[1] == n:
            return value[at if value.shape[0] > 1 else 0, rows]
        return value

    return tree_map(one, call)
