"""Attention in groups: over sequences that lie one behind the other, over rows of keys of unlike length, by a mask of its own."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attend

from cola_search.model.attention import (
    AttendingMask,
    attend_by_length,
    by_length,
    groups_of_sequences,
    ragged_mask,
    runs,
    whole_vectors,
)

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


def test_rows_much_shorter_than_the_longest_get_groups_of_their_own():
    lengths = np.array([4000, 1000, 900, 800, 100])
    assert by_length(lengths) == [
        (slice(0, 1), 4000),
        (slice(1, 5), 1008),
    ]  # the last would save 700 columns of one row


@pytest.mark.parametrize("lengths", [[16], [96, 80, 70], [304, 10]])
def test_a_group_that_saves_little_is_not_made(lengths):
    assert by_length(np.array(lengths)) == [(slice(0, len(lengths)), lengths[0])]


def test_columns_come_in_whole_vectors():
    assert [whole_vectors(n) for n in (1, 16, 17)] == [16, 16, 32]
    assert by_length(np.array([90, 80])) == [(slice(0, 2), 96)]


def test_every_row_is_in_one_group_that_is_wide_enough():
    lengths = np.sort(np.random.default_rng(0).integers(1, 3000, 200))[::-1]
    groups = by_length(lengths)
    assert [row for rows, _ in groups for row in range(200)[rows]] == list(range(200))
    assert len(groups) > 2
    assert all((lengths[rows] <= n).all() for rows, n in groups)


def test_grouped_attention_equals_attention_over_all_columns_and_reads_no_others():
    torch.manual_seed(0)
    lengths = np.array([900, 300, 250, 20])
    query, key, value = torch.randn(4, 2, 3, 8), torch.randn(4, 2, 900, 8), torch.randn(4, 2, 900, 8)
    mask = (torch.arange(900) < torch.from_numpy(lengths)[:, None])[:, None, None]
    expected = attend(query, key, value, attn_mask=mask)
    value[1:, :, 300:] = torch.nan
    grouped = attend_by_length([(slice(0, 1), 900), (slice(1, 4), 300)], query, key, value, mask)
    torch.testing.assert_close(grouped, expected)


def reversed_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, **rest: object) -> Tensor:
    assert type(mask) is Tensor
    return attend(query, key.flip(2), value.flip(2), attn_mask=mask, **rest)


def made() -> tuple[AttendingMask, Tensor]:
    plain = torch.ones(2, 1, 3, 3, dtype=torch.bool).tril()
    return AttendingMask.of(plain, reversed_attention), plain


def test_torchs_attention_goes_the_way_of_the_mask() -> None:
    mask, plain = made()
    query, key, value = torch.randn(3, 2, 4, 3, 8)
    expected = attend(query, key.flip(2), value.flip(2), attn_mask=plain, scale=0.5)
    assert torch.equal(attend(query, key, value, attn_mask=mask, scale=0.5), expected)


def test_a_mask_that_is_moved_or_cut_to_what_it_is_stays_what_it_is() -> None:
    mask, _ = made()
    for same in (mask[:, :, :, :3], mask.to("cpu"), mask.expand(2, -1, -1, -1), mask.contiguous()):
        assert isinstance(same, AttendingMask) and same.attention is reversed_attention


def test_all_else_finds_a_plain_mask() -> None:
    mask, plain = made()
    for other, expected in ((mask[:, :, :1], plain[:, :, :1]), (~mask, ~plain), (mask == 0, plain == 0)):
        assert type(other) is Tensor and torch.equal(other, expected)
    assert (mask.shape, mask.dtype, mask.ndim) == (plain.shape, plain.dtype, 4)
