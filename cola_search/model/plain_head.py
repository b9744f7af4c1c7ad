"""A head that is handed the states of last tokens laid out plainly: the same numbers, without a loop of torch that crawls."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


@contextmanager
def plain_head(hf: PreTrainedModel) -> Iterator[None]:
    """Until the block ends, the head multiplies a copy of a slice of states rather than the slice.

    `generate` hands it the last token of each prompt, `[B, 1, d]` with the strides of `[B, n, d]`. On a CPU torch 2.13
    multiplies that in bfloat16 without its matrix product: for SmolLM2 17 times slower at batch 1, 200 times at batch 16.
    """
    head = hf.get_output_embeddings()
    handle = head.register_forward_pre_hook(_laid_out)
    try:
        yield
    finally:
        handle.remove()


def _laid_out(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    states, *rest = args
    sliced = states.ndim == 3 and states.stride(0) != states.shape[1] * states.stride(1)
    # `contiguous` would return a batch of one as it is, odd stride and all
    return (states.clone(memory_format=torch.contiguous_format), *rest) if sliced else args
