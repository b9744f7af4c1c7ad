"""A mask that brings its own attention."""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attend

from cola_search.model.attending_mask import AttendingMask


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
