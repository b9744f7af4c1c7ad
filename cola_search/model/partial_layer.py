"""One layer for some of its rows only: the others give their keys and values and nothing else.

Works for every family through the cache protocol: a layer hands its keys and values to `cache.update`. A cache that stops the
layer right there costs the projections only; a cache that puts those keys and values in front lets the wanted rows attend to them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cola_search.model.anatomy import Anatomy
from cola_search.model.attention import groups_of_sequences, ragged_mask
from cola_search.model.batches import Batch, pick


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

    order: `[n]`, the row that each of them is; None where they are in order.
    """

    def __init__(self, keys: Tensor | None = None, values: Tensor | None = None, order: Tensor | None = None):
        self.keys, self.values, self.order = keys, values, order

    def update(self, keys: Tensor, values: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        self.keys = keys if self.keys is None else torch.cat([self.keys, keys], dim=2)
        self.values = values if self.values is None else torch.cat([self.values, values], dim=2)
        return self.keys, self.values

    def flat(self) -> Tensor:
        """Keys and values `[B, n, width]` side by side, in order."""
        assert self.keys is not None and self.values is not None
        flat = torch.cat([self.keys.transpose(1, 2).flatten(2), self.values.transpose(1, 2).flatten(2)], dim=-1)
        if self.order is None:
            return flat
        return torch.empty_like(flat).index_copy_(1, self.order.to(flat.device), flat)


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


def run_reads(anatomy: Anatomy, layer: int, batch: Batch) -> tuple[Tensor, Capture]:
    """Of a layer the output `[R, d]` for the rows that are read, one chain behind the other, and all rows' keys and values."""
    if batch.stack is None:
        item = batch.pairs[0][0]
        unread, reads = item.unread, item.reads
    else:
        unread = np.concatenate([start + item.unread for start, item, _ in batch.laid])
        reads = np.concatenate([start + item.reads for start, item, _ in batch.laid])
    cache = Capture()
    if not len(unread):
        out = anatomy.run_layer(layer, batch.hidden, batch.call, batch.mask, cache)
        return out.flatten(0, 1), cache
    n, device = batch.hidden.shape[1], batch.hidden.device
    others, wanted = (torch.from_numpy(rows).to(device, non_blocking=True) for rows in (unread, reads))
    hidden, call = batch.hidden.index_select(1, others), pick(batch.call, n, others)
    keys, values = keys_and_values(anatomy, layer, hidden, call, batch.mask[:, :, :1, : len(others)])
    cache = Capture(keys, values, torch.cat([others, wanted]))
    hidden, call = batch.hidden.index_select(1, wanted), pick(batch.call, n, wanted)
    return anatomy.run_layer(layer, hidden, call, reads_mask(layer, batch), cache).flatten(0, 1), cache


def reads_mask(layer: int, batch: Batch) -> Tensor:
    """What the rows that are read see where the other rows of all chains come first, and then theirs."""
    if batch.stack is None or batch.places is None:
        item = batch.pairs[0][0]
        return item.last_sees(item.masks[layer]).expand(len(batch.pairs), -1, -1, -1)
    lengths, reads = np.array([item.size for item, _ in batch.pairs]).T
    rest = lengths - reads
    starts, rest_starts = np.cumsum(reads) - reads, np.cumsum(rest) - rest

    def keys(some: slice) -> np.ndarray:
        first = rest_starts[some, None] + np.arange(rest[some.start])
        return np.concatenate([first, rest.sum() + starts[some, None] + np.arange(reads[some.start])], axis=1)

    groups = groups_of_sequences(batch.stack.mask(layer, last=True), batch.places, reads, lengths, keys)
    return ragged_mask(groups, int(reads.sum()), int(lengths.sum()), batch.hidden.device)
