"""What models and layers call their cache, in one version of transformers or another."""

import copy
from collections.abc import Sequence

import pytest
import torch
from families import tiny
from torch import nn
from transformers import StaticCache

from cola_search.errors import UserError
from cola_search.model.caches import cache_name, keeps_a_cache, without_cache
from cola_search.model.surgery import apply_chain


class Attention(nn.Module):
    def forward(self, hidden, past_key_values=None, **kwargs): ...


class Named(nn.Module):
    def forward(self, hidden, cache=None): ...


class PassesOn(nn.Module):
    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, hidden, **kwargs): ...


class OwnName(PassesOn):
    def forward(self, hidden, layer_past=None): ...


def test_a_cache_is_called_what_the_forward_calls_it() -> None:
    assert cache_name(Named()) == "cache"
    assert cache_name(OwnName(Attention())) == "layer_past"


def test_a_layer_that_only_passes_its_cache_on_takes_its_attentions_name_for_it() -> None:
    assert cache_name(PassesOn(Attention())) == "past_key_values"
    assert cache_name(PassesOn(Named())) == "cache"


def test_what_takes_no_cache_has_no_name_for_it() -> None:
    assert cache_name(nn.Linear(2, 2)) is None


def test_a_chain_without_an_attention_layer_generates_without_a_cache() -> None:
    hf, tokens = tiny("lfm2", layer_types=["conv", "full_attention", "conv", "conv"]), torch.tensor([[5, 6, 7]])
    widths: list[int] = []
    settings = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False}
    assert keeps_a_cache(hf)
    with apply_chain(hf, [0, 2]):
        assert not keeps_a_cache(hf)
        with without_cache(hf):
            hf.model.embed_tokens.register_forward_hook(lambda module, args, output: widths.append(args[0].shape[1]))
            answer = hf.generate(tokens, use_cache=True, **settings)[0].tolist()
        for end in (3, 4, 5):
            assert hf(torch.tensor([answer[:end]]), use_cache=False).logits[0, -1].argmax() == answer[end]
    assert widths[:3] == [3, 4, 5]
    widths.clear()
    hf.generate(tokens, **settings)
    assert widths == [3, 1, 1]


CHAINS: list[Sequence[int]] = [[0, 1, 1, 2], [3, 0], [0, 1, 2, 3, 2, 3]]


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2", "falcon_h1"])
@pytest.mark.parametrize("chain", CHAINS)
def test_a_cache_that_the_whole_model_or_another_chain_filled_is_refused_under_a_chain(
    family: str, chain: Sequence[int]
) -> None:
    hf, tokens = tiny(family), torch.tensor([[5, 6, 7]])
    name = cache_name(hf) or ""
    filled = [getattr(hf(tokens, use_cache=True), name)]
    with apply_chain(hf, [0, 1, 3, 2]):
        filled.append(getattr(hf(tokens, use_cache=True), name))
    for cache in filled:
        with apply_chain(hf, chain), pytest.raises(UserError, match="filled by another chain"):
            hf(tokens, use_cache=True, **{name: cache})


@torch.inference_mode()
def test_a_cache_is_good_for_its_chain_in_a_later_block_and_emptied_for_another_chain() -> None:
    hf, tokens = tiny("llama"), torch.tensor([[5, 6, 7, 8, 9]])
    name = cache_name(hf) or ""
    with apply_chain(hf, [0, 1, 1]):
        expected = hf(tokens, use_cache=False).logits
        cache = StaticCache(hf.config, max_cache_len=8)
        hf(tokens[:, :3], use_cache=True, **{name: cache})
    with apply_chain(hf, (0, 1, 1)):
        again = hf(tokens[:, 3:], use_cache=True, **{name: copy.deepcopy(cache)}).logits
    torch.testing.assert_close(again, expected[:, 3:], atol=1e-4, rtol=1e-4)
    cache.reset()
    with apply_chain(hf, [2, 1, 0]):
        other = hf(tokens, use_cache=False).logits
        torch.testing.assert_close(hf(tokens, use_cache=True, **{name: cache}).logits, other, atol=1e-4, rtol=1e-4)
