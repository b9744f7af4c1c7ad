"""Sequences of unlike length in one row of states, one behind the other: attention keeps each of them apart.

All a layer does but its attention is done to each row alone, so that there sequences need no padding. Attention is called with
a mask that knows where each sequence lies, and is done for groups of about the same length.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attend

from cola_search.model.attending_mask import AttendingMask

SHORTER = 0.6  # sequences of at most this share of a group's longest begin a new group


@dataclass(frozen=True)
class Group:
    """Some neighbouring sequences, padded to the longest of them.

    queries, keys: rows `[B, Q]` and `[B, K]` of what attention is called with; a slice where nothing needs padding.
    mask: bool `[B, 1, Q, K]`.
    real: which of the `[B * Q]` padded queries are none that only fill up; None for all.
    """

    queries: Tensor | slice
    keys: Tensor | slice
    mask: Tensor
    real: Tensor | None

    def attend(self, query: Tensor, key: Tensor, value: Tensor, **rest: Any) -> Tensor:
        """Rows `[N, heads, width]` of the group's queries, padding left out."""
        size, device = len(self.mask), query.device
        query, key, value = (
            _taken(states, rows, size) for states, rows in ((query, self.queries), (key, self.keys), (value, self.keys))
        )
        rows = attend(query, key, value, attn_mask=self.mask.to(device), **rest).transpose(1, 2).flatten(0, 1)
        return rows if self.real is None else rows.index_select(0, self.real.to(device))


def _taken(states: Tensor, rows: Tensor | slice, size: int) -> Tensor:
    """The rows of states `[1, heads, N, width]` as `[size, heads, rows of each, width]`."""
    some = (
        states[0, :, rows] if isinstance(rows, slice) else states[0].index_select(1, rows.to(states.device).flatten())
    )
    return some.unflatten(1, (size, -1)).transpose(0, 1)


def ragged_mask(groups: Sequence[Group], queries: int, keys: int, device: torch.device) -> AttendingMask:
    """Stands for the mask `[1, 1, queries, keys]` of sequences that lie one behind the other.

    A family whose attention is not torch's own cannot ride this way, which a trial at load finds out.
    """
    plain = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device).expand(1, 1, queries, keys)
    return AttendingMask.of(plain, partial(_attend_by_group, groups))


def _attend_by_group(
    groups: Sequence[Group], query: Tensor, key: Tensor, value: Tensor, _: Tensor, **rest: Any
) -> Tensor:
    return torch.cat([group.attend(query, key, value, **rest) for group in groups]).transpose(0, 1)[None]


def by_length(lengths: np.ndarray) -> list[slice]:
    """Groups of neighbours of about the same length, for lengths `[B]` in falling order."""
    groups, start = [], 0
    while start < len(lengths):
        end = int(np.searchsorted(-lengths, -SHORTER * lengths[start]))
        groups.append(slice(start, end))
        start = end
    return groups


def laid_out(lengths: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray | slice, np.ndarray | None]:
    """Rows `[B, longest]` of sequences of such lengths that begin at such rows, both `[B]`, and which of them, flattened, are real.

    Behind a shorter one stands its last row. A slice, and None, where all are neighbours of one length.
    """
    longest = int(lengths.max())
    if lengths.min() == longest and starts[-1] - starts[0] == longest * (len(starts) - 1):
        return slice(int(starts[0]), int(starts[0]) + longest * len(starts)), None
    column = np.arange(longest)
    rows = starts[:, None] + np.minimum(column, lengths[:, None] - 1)
    return rows, np.flatnonzero(column < lengths[:, None])


def groups_of_sequences(
    masks: Tensor,
    places: np.ndarray,
    lengths: np.ndarray,
    starts: np.ndarray,
    keys: Callable[[slice], np.ndarray] | None = None,
    key_lengths: np.ndarray | None = None,
) -> list[Group]:
    """The groups in which attention goes over sequences.

    masks: bool `[items, 1, Q, K]`, what the rows of each item see; places: which item each sequence is of, `[B]`.
    lengths, starts: of the queries of each sequence `[B]`; those of its keys are the same, unless `keys` tells their rows
    `[B', longest]` for some of the sequences, and `key_lengths` how many there are, in falling order.
    """
    device, groups = masks.device, []
    key_lengths = lengths if key_lengths is None else key_lengths
    index = _on(places, device)
    for some in by_length(key_lengths):
        laid, real = laid_out(lengths[some], starts[some])
        rows = laid if isinstance(laid, slice) else _on(laid, device)
        columns = rows if keys is None else _on(keys(some), device)
        mask = masks.index_select(0, index[some])[:, :, : int(lengths[some].max()), : int(key_lengths[some][0])]
        groups.append(Group(rows, columns, mask, None if real is None else _on(real, device)))
    return groups


def _on(rows: np.ndarray, device: torch.device) -> Tensor:
    """Indices on the device."""
    return torch.from_numpy(rows).to(device, non_blocking=True)
