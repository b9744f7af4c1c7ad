"""The head of a model that generates, handed plainly laid out states."""

import pytest
import torch
from families import tiny

from cola_search.model.plain_head import plain_head


@pytest.mark.parametrize("batch", [1, 3])
def test_the_head_gets_last_tokens_as_a_plain_tensor_of_the_same_numbers(batch):
    hf = tiny("llama").to(torch.bfloat16)
    head, seen = hf.get_output_embeddings(), []
    ids = torch.arange(5, 5 + 6 * batch).view(batch, 6)
    with torch.inference_mode():
        sliced = hf(input_ids=ids, logits_to_keep=1).logits
        with plain_head(hf):
            head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
            plain = hf(input_ids=ids, logits_to_keep=1).logits
    assert seen[0].stride() == (hf.config.hidden_size, hf.config.hidden_size, 1)
    torch.testing.assert_close(plain, sliced, rtol=1e-2, atol=1e-2)


def test_afterwards_the_model_has_no_hook_left():
    hf = tiny("llama")
    with pytest.raises(ZeroDivisionError), plain_head(hf):
        assert hf.get_output_embeddings()._forward_pre_hooks
        raise ZeroDivisionError
    assert not hf.get_output_embeddings()._forward_pre_hooks
