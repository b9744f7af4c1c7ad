"""Whether a model's family can ride on the engine: tried at load on a few tokens, against stock transformers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cola_search.model.batches import Item
from cola_search.model.decode import Decoder
from cola_search.model.executor import Executor
from cola_search.model.surgery import apply_chain

SEQUENCES = [[5, 6, 7, 8, 9, 6, 5, 11], [5, 6, 7, 10, 5, 9]]  # a shared beginning of 3 tokens, then apart
NEXT = 12  # fed as the first generated token
# what transformers' generate looks at beside the likeliest token, and what asks for nothing; None never asks
UNFOLLOWED: dict[str, tuple] = {
    "bad_words_ids": ([],),
    "begin_suppress_tokens": ([],),
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1.0,),
    "exponential_decay_length_penalty": (),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "guidance_scale": (1,),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "no_repeat_ngram_size": (0,),
    "num_beams": (1,),
    "remove_invalid_values": (False,),
    "sequence_bias": ({}, []),
    "suppress_tokens": ([],),
    "watermarking_config": (),
}


def unfollowed(generation_config: Any) -> str | None:
    """What a checkpoint asks of its generation that the engine does not follow, as a reason; None where it follows all.

    Of these settings it follows repetition_penalty alone.
    """
    for name, nothing in UNFOLLOWED.items():
        value = getattr(generation_config, name, None)
        if value is not None and value not in nothing:
            return f"its generation_config sets {name}"
    return None


@torch.inference_mode()
def rides(executor: Executor, hf: Any) -> str | None:
    """None if the engine computes what the stock model does on an edited chain; else the reason why not.

    The chain skips a layer and repeats the last one. Tolerance: 0.001 standard deviations of the logits in float32, 0.1 in
    16 bits; a wrong mask, position or cache slot is off by far more.
    """
    chain = edited_chain(len(executor.anatomy.layers))
    limit = 1e-3 if executor.anatomy.dtype in (torch.float32, torch.float64) else 0.1
    item = executor.open(SEQUENCES[:1] if executor.kv else SEQUENCES, [[2, 7]] if executor.kv else [[2, 7], [5]])
    try:
        rows = executor.run([(item, [chain])])[0][0]
        found = [("the prompt pass", executor.anatomy.logits(rows), stock_rows(hf, chain, item, SEQUENCES))]
        if executor.kv:
            decoder = Decoder(executor, [item], [chain], [8], 2)
            decoder.load_prompts()
            step = executor.anatomy.logits(decoder.step(np.array([NEXT]), 0))
            found.append(("a cached step", step, stock_logits(hf, chain, [*SEQUENCES[0], NEXT])[-1:]))
    finally:
        executor.close(item)
    for what, ours, stock in found:
        off = ((ours.float() - stock).abs().mean() / stock.std()).item()
        if not off < limit:
            return f"{what} on the engine is off by {off:.2g} standard deviations of the logits"
    return None


def edited_chain(num_layers: int) -> tuple[int, ...]:
    """A chain with a skip and a repeat, as far as the layers allow."""
    return (0, *range(2, num_layers), num_layers - 1) if num_layers > 2 else (*range(num_layers), num_layers - 1)


def stock_logits(hf: Any, chain: tuple[int, ...], tokens: list[int]) -> Tensor:
    """Logits `[n, V]` in float32 of the stock model with the chain applied, without a cache."""
    with apply_chain(hf, chain):
        return hf(input_ids=torch.tensor([tokens], device=hf.device), use_cache=False).logits[0].float()


def stock_rows(hf: Any, chain: tuple[int, ...], item: Item, sequences: list[list[int]]) -> Tensor:
    """The stock model's logits at the rows that the item reads."""
    logits: dict[int, Tensor] = {}
    for rows, tokens in zip(item.packed.rows, sequences, strict=False):
        logits |= dict(zip(rows, stock_logits(hf, chain, tokens), strict=True))
    return torch.stack([logits[row] for row in item.reads.tolist()])
