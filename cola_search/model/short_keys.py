"""Attention of one new token a row, where short rows do not wade through the empty columns of long ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attend

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


def attend_by_length(
    groups: Sequence[Group], query: Tensor, key: Tensor, value: Tensor, mask: Tensor, **rest: Any
) -> Tensor:
    """Attention under a mask `[B, 1, 1, columns]`, group by group, of no more columns than a group's longest row has."""
    parts = [
        attend(query[rows], key[rows, :, :n], value[rows, :, :n], attn_mask=mask[rows, ..., :n], **rest)
        for rows, n in groups
    ]
    return torch.cat(parts)
