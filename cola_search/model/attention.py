"""Attention in groups, for batches whose sequences are of unlike length.

A mask brings its own way to attend (AttendingMask), so that every family whose attention is torch's own does it in groups:

- `ragged_mask`: sequences lie one behind the other in one row of states. All a layer does but its attention is done to each
  row alone, so that there they need no padding; attention is done for groups of sequences of one length. Without a padded
  column a sequence's numbers are the same whatever lies beside it, as far as products of matrices keep rows apart: in
  bfloat16 on a CPU without AMX to the bit.
- `short_keys_mask`: each sequence has one new token, and keys in columns of its own, of which short sequences fill only the
  first. Groups of about the same length do not wade through the empty columns of long ones. How many columns are empty does not
  change a sequence's numbers on a CPU as long as they come in `whole_vectors`.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._C import DisableTorchFunctionSubclass
from torch.nn.functional import scaled_dot_product_attention as attend

SHORTER = 0.75  # rows of at most this share of a group's longest begin a new group
KEYS_WORTH_A_CALL = 4096  # a group must save so many (row, column) pairs
COLUMNS = 16  # of float32 in the widest vector of a CPU; a part of one is added up in another order than a whole one
Columns = tuple[slice, int]  # rows of a batch, and how many columns of keys the longest of them has

# takes query, key, value and the plain mask, and by name what else torch's attention takes
Attention = Callable[..., Tensor]
# what comes out of these in the same shape is the same mask
KEEPS = {Tensor.to, Tensor.__getitem__, Tensor.contiguous, Tensor.expand}


class AttendingMask(Tensor):
    """A mask `[B, 1, Q, K]`; torch's attention with it is done by `attention`, all else finds a mask like any other."""

    attention: Attention

    @staticmethod
    def of(mask: Tensor, attention: Attention) -> "AttendingMask":
        """The mask with its own way to attend."""
        made = Tensor._make_subclass(AttendingMask, mask)
        made.attention = attention
        return made

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        with DisableTorchFunctionSubclass():
            if func is attend:
                return _attend(*args, **kwargs)
            found = func(*args, **kwargs)
        same = func in KEEPS and isinstance(args[0], cls) and found.shape == args[0].shape
        return cls.of(found, args[0].attention) if same else found


def _attend(query: Tensor, key: Tensor, value: Tensor, attn_mask: AttendingMask, **rest: Any) -> Tensor:
    return attn_mask.attention(query, key, value, attn_mask.as_subclass(Tensor), **rest)


@dataclass(frozen=True)
class Group:
    """Some neighbouring sequences of one length.

    queries, keys: their rows in what attention is called with; of keys that lie elsewhere `[B, K]`.
    mask: bool `[B, 1, Q, K]`.
    """

    queries: slice
    keys: Tensor | slice
    mask: Tensor

    def attend(self, query: Tensor, key: Tensor, value: Tensor, **rest: Any) -> Tensor:
        """Rows `[N, heads, width]` of the group's queries."""
        size = len(self.mask)
        query, key, value = (
            _taken(states, rows, size) for states, rows in ((query, self.queries), (key, self.keys), (value, self.keys))
        )
        return attend(query, key, value, attn_mask=self.mask.to(query.device), **rest).transpose(1, 2).flatten(0, 1)


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


def runs(lengths: np.ndarray) -> list[slice]:
    """The runs of neighbours that have the same lengths, for lengths `[B, kinds]`."""
    changes = np.flatnonzero((lengths[1:] != lengths[:-1]).any(1)) + 1
    return [slice(a, b) for a, b in itertools.pairwise([0, *changes.tolist(), len(lengths)])]


def groups_of_sequences(
    masks: Tensor,
    places: np.ndarray,
    lengths: np.ndarray,
    key_lengths: np.ndarray,
    keys: Callable[[slice], np.ndarray] | None = None,
) -> list[Group]:
    """The groups in which attention goes over sequences.

    masks: bool `[items, 1, Q, K]`, what the rows of each item see; places: which item each sequence is of, `[B]`.
    lengths, key_lengths: of the queries and keys of each sequence, `[B]`, where neighbours of the same lengths go together.
    keys: the rows `[B', K]` of the keys of some of the sequences; None: they are those of the queries.
    """
    device, groups = masks.device, []
    index = _on(places, device)
    ends = [0, *np.cumsum(lengths).tolist()]
    for some in runs(np.stack([lengths, key_lengths], axis=1)):
        rows = slice(ends[some.start], ends[some.stop])
        columns = rows if keys is None else _on(keys(some), device)
        mask = masks.index_select(0, index[some])[:, :, : lengths[some.start], : key_lengths[some.start]]
        groups.append(Group(rows, columns, mask))
    return groups


def _on(rows: np.ndarray, device: torch.device) -> Tensor:
    """Indices on the device."""
    return torch.from_numpy(rows).to(device, non_blocking=True)


def short_keys_mask(mask: Tensor, lengths: np.ndarray) -> Tensor:
    """The mask bool `[B, 1, 1, columns]`, made so that no row looks at many more columns than its own lengths `[B]`, falling."""
    groups = by_length(lengths)
    return mask if len(groups) == 1 else AttendingMask.of(mask, partial(attend_by_length, groups))


def whole_vectors(columns: int) -> int:
    """So many columns of keys and those that make the last vector of them whole: adding zeros to whole ones is exact.

    What else is in a batch then decides how many of them there are, and no longer how one's own are added up.
    """
    return -(-columns // COLUMNS) * COLUMNS


def by_length(lengths: np.ndarray) -> list[Columns]:
    """Groups of rows of about the same length, for lengths `[B]` in falling order."""
    groups, start, total = [], 0, len(lengths)
    while start < total:
        longest = int(lengths[start])
        end = int(np.searchsorted(-lengths, -SHORTER * longest))
        if end < total and (total - end) * (longest - int(lengths[end])) < KEYS_WORTH_A_CALL:
            end = total
        groups.append((slice(start, end), whole_vectors(longest)))
        start = end
    return groups


def attend_by_length(
    groups: Sequence[Columns], query: Tensor, key: Tensor, value: Tensor, mask: Tensor, **rest: Any
) -> Tensor:
    """Attention under a mask `[B, 1, 1, columns]`, group by group, of no more columns than a group's longest row needs."""
    parts = [
        attend(query[rows], key[rows, :, :n], value[rows, :, :n], attn_mask=mask[rows, ..., :n], **rest)
        for rows, n in groups
    ]
    return torch.cat(parts)
