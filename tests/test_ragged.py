"""Attention over sequences of unlike length that lie one behind the other."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attend

from cola_search.model.ragged import groups_of_sequences, ragged_mask, runs

LENGTHS = np.array([9, 9, 7, 3])
PLACES = np.array([1, 0, 2, 3])  # the items of these sequences, of 9, 9, 7 and 3 rows


def states(rows: int, heads: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(1, heads, rows, 8, generator=torch.Generator().manual_seed(seed))


def causal(lengths: list[int]) -> Tensor:
    masks = torch.zeros(len(lengths), 1, max(lengths), max(lengths), dtype=torch.bool)
    for i, n in enumerate(lengths):
        masks[i, 0, :n, :n] = torch.ones(n, n).tril()
    return masks


def starts_of(lengths: np.ndarray) -> np.ndarray:
    return np.cumsum(lengths) - lengths


@pytest.mark.parametrize("key_heads", [4, 2])
def test_each_sequence_attends_as_if_it_were_alone(key_heads: int) -> None:
    query, key, value = states(28), states(28, key_heads, 1), states(28, key_heads, 2)
    groups = groups_of_sequences(causal([9, 9, 7, 3]), PLACES, LENGTHS, LENGTHS)
    mask = ragged_mask(groups, 28, 28, query.device)
    found = attend(query, key, value, attn_mask=mask, scale=0.3, enable_gqa=key_heads < 4)
    assert found.shape == query.shape
    for start, n in zip(starts_of(LENGTHS), LENGTHS, strict=True):
        own = slice(start, start + n)
        alone = attend(
            query[:, :, own], key[:, :, own], value[:, :, own], is_causal=True, scale=0.3, enable_gqa=key_heads < 4
        )
        torch.testing.assert_close(found[:, :, own], alone)


def test_queries_of_some_rows_see_keys_that_lie_elsewhere() -> None:
    lengths, wanted = np.array([5, 4]), np.array([2, 1])
    rows = [np.array([0, 1, 2, 7, 8]), np.array([3, 4, 5, 6])]  # of the keys of each sequence
    masks = torch.ones(2, 1, 2, 5, dtype=torch.bool)
    masks[0, 0, 0, 4] = False
    query, key, value = states(3), states(9, seed=1), states(9, seed=2)
    groups = groups_of_sequences(masks, np.array([0, 1]), wanted, lengths, lambda some: np.array(rows[some]))
    found = attend(query, key, value, attn_mask=ragged_mask(groups, 3, 9, query.device))
    for i, own in enumerate([slice(0, 2), slice(2, 3)]):
        seen = masks[i : i + 1, :, : wanted[i], : lengths[i]]
        alone = attend(query[:, :, own], key[:, :, rows[i]], value[:, :, rows[i]], attn_mask=seen)
        torch.testing.assert_close(found[:, :, own], alone)


def test_neighbours_of_the_same_lengths_are_one_run() -> None:
    assert runs(np.array([[4], [4], [3], [4]])) == [slice(0, 2), slice(2, 3), slice(3, 4)]
    assert runs(np.array([[4, 1], [4, 2], [4, 2]])) == [slice(0, 1), slice(1, 3)]
    assert runs(np.array([[4]])) == [slice(0, 1)]
