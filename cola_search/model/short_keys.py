"""Attention of one new token a row, where short rows do not wade through the empty columns of long ones."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attend
from torch.overrides import TorchFunctionMode

SHORTER = 0.75  # rows of at most this share of a group's longest begin a new group
KEYS_WORTH_A_CALL = 4096  # a group must save so many (row, column) pairs

Group = tuple[slice, int]  # rows of a batch, and how many columns the longest of them has


def by_length(lengths: np.ndarray) -> list[Group]:
    """Groups of rows of about the same length, for lengths `[B]` in falling order."""
    groups, start, total = [], 0, len(lengths)
    while start < total:
        longest = int(lengths[start])
        end = int(np.searchsorted(-lengths, -SHORTER * longest))
        if end < total and (total - end) * (longest - int(lengths[end])) < KEYS_WORTH_A_CALL:
            end = total
        groups.append((slice(start, end), longest))
        start = end
    return groups


class ShortKeys(TorchFunctionMode):
    """Splits every `scaled_dot_product_attention` within its block by the groups that it is told of.

    It works for every family that calls torch's attention, and changes nothing for one that does not.
    """

    groups: Sequence[Group] = ()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is attend and len(self.groups) > 1 and isinstance(kwargs.get("attn_mask"), Tensor):
            return self._grouped(*args, **kwargs)
        return func(*args, **kwargs)

    def _grouped(self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor, **rest: Any) -> Tensor:
        parts = [
            attend(query[rows], key[rows, :, :n], value[rows, :, :n], attn_mask=attn_mask[rows, ..., :n], **rest)
            for rows, n in self.groups
        ]
        return torch.cat(parts)
