"""Attention in groups of rows of about the same length."""

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention as attend

from cola_search.model.short_keys import attend_by_length, by_length


def test_rows_much_shorter_than_the_longest_get_groups_of_their_own():
    lengths = np.array([4000, 1000, 900, 800, 100])
    assert by_length(lengths) == [
        (slice(0, 1), 4000),
        (slice(1, 5), 1000),
    ]  # the last would save 700 columns of one row


@pytest.mark.parametrize("lengths", [[7], [90, 80, 70], [300, 10]])
def test_a_group_that_saves_little_is_not_made(lengths):
    assert by_length(np.array(lengths)) == [(slice(0, len(lengths)), lengths[0])]


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
    whole = attend(query, key, value, attn_mask=mask)
    value[1:, :, 300:] = torch.nan
    grouped = attend_by_length([(slice(0, 1), 900), (slice(1, 4), 300)], query, key, value, mask)
    torch.testing.assert_close(grouped, whole)
