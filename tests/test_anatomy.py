"""What lies around a model's layers."""

import pytest
import torch
from families import tiny
from torch import nn

from cola_search.model.anatomy import Anatomy

MORE_THAN_A_HEAD = {"gemma2": {}, "cohere": {"logit_scale": 0.5}, "granite": {"logits_scaling": 4.0}}


@pytest.mark.parametrize(
    ("family", "settings"), [("llama", {}), ("gpt2", {}), ("gemma3_text", {}), *MORE_THAN_A_HEAD.items()]
)
@torch.inference_mode()
def test_the_logits_of_final_states_are_the_models_own_to_the_bit(family: str, settings: dict) -> None:
    hf = tiny(family, **settings)
    final = {}
    handle = Anatomy(hf).layers[-1].register_forward_hook(lambda *call: final.update(out=call[-1]))
    ids = torch.randint(3, 90, (4, 1))
    logits = hf(input_ids=ids, use_cache=False).logits[:, 0]
    handle.remove()
    out = final["out"][0] if isinstance(final["out"], tuple) else final["out"]
    assert torch.equal(Anatomy(hf).logits(out[:, 0]), logits)


@pytest.mark.parametrize(("family", "runs"), [("llama", 0), ("gemma2", 1)])
def test_the_model_runs_for_logits_only_where_it_does_more_than_norm_and_head(family: str, runs: int) -> None:
    anatomy, calls = Anatomy(tiny(family)), []
    anatomy.hf.get_input_embeddings().register_forward_hook(lambda *call: calls.append(call))
    with torch.inference_mode():
        anatomy.logits(torch.randn(3, anatomy.width))
    assert len(calls) == runs


class Stored(nn.Module):
    """A linear layer that keeps its weight in another dtype than it computes in, as quantised ones do."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().mul(8).round().to(dtype), requires_grad=False)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(states, self.weight.to(states.dtype) / 8)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_states_and_masks_have_the_dtype_of_the_stream_whatever_that_of_the_weights(dtype: torch.dtype) -> None:
    hf = tiny("llama", attn_implementation="eager").to(torch.bfloat16)
    for layer in hf.model.layers:
        layer.self_attn.q_proj = Stored(layer.self_attn.q_proj, dtype)
    anatomy = Anatomy(hf)
    assert anatomy.dtype == torch.bfloat16
    assert anatomy.as_handed(torch.ones(1, 1, 2, 2, dtype=torch.bool)).dtype == torch.bfloat16


def test_a_row_has_the_logits_alone_that_it_has_among_others_to_the_bit_in_bfloat16_on_a_cpu() -> None:
    anatomy = Anatomy(tiny("llama", hidden_size=4096).to(torch.bfloat16))
    rows = torch.randn(32, anatomy.width, dtype=torch.bfloat16)  # a CPU with AMX adds up more than 32 otherwise
    with torch.inference_mode():
        together = anatomy.logits(rows)
        assert all(torch.equal(anatomy.logits(rows[i : i + 1])[0], together[i]) for i in range(32))
