"""What models and layers call their cache, in one version of transformers or another."""

from torch import nn

from cola_search.model.caches import cache_name


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
