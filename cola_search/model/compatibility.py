"""Whether a model and its samples can run batched on the engine, or must run one chain at a time.

A model is tried at load, on a few tokens, against stock transformers; what its config, its generation_config or the task asks
for and the engine does not do is known beforehand.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cola_search.model.batches import Item
from cola_search.model.decode import Decoder
from cola_search.model.executor import Executor
from cola_search.model.precision import dtype_name, is_low
from cola_search.model.surgery import apply_chain

SEQUENCES = [[5, 6, 7, 8, 9, 6, 5, 11], [5, 6, 7, 10, 5, 9]]  # a shared beginning of 3 tokens, then apart
SHORTER = [[9, 8, 5, 6, 7, 12]]  # of an item in the same batch
NEXT = 12  # fed as the first generated token
OF_THE_FAMILY = (
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    AssertionError,
    RuntimeError,
)  # what layers raise when they are called in a way that they were not made for
# Settings of transformers' generate that the engine does not follow, each with the values that ask for nothing, besides None.
# A checkpoint's max_length is not among them: lm-eval gives generate its own.
UNFOLLOWED: dict[str, tuple] = {
    "bad_words_ids": ([],),
    "begin_suppress_tokens": ([],),
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1.0,),
    "exponential_decay_length_penalty": (),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "guidance_scale": (1,),
    "max_new_tokens": (),
    "max_time": (),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "no_repeat_ngram_size": (0,),
    "num_beams": (1,),
    "remove_invalid_values": (False,),
    "sequence_bias": ({}, []),
    "stop_strings": ([],),
    "suppress_tokens": ([],),
    "watermarking_config": (),
}


OF_A_TASK: dict[str, tuple] = {**UNFOLLOWED, "eos_token_id": (), "max_length": (), "repetition_penalty": (1.0,)}
ROPES_THAT_SWITCH = {"longrope": "original_max_position_embeddings", "dynamic": "max_position_embeddings"}


def unfollowed(generation_config: Any) -> str | None:
    """What a checkpoint asks of its generation that the engine does not follow, as a reason; None where it follows all.

    Of what a checkpoint may ask for it follows repetition_penalty alone.
    """
    name = _asked(vars(generation_config), UNFOLLOWED)
    return f"its generation_config sets {name}" if name else None


def unfollowed_by_task(gen_kwargs: Mapping[str, Any]) -> str | None:
    """The same of what a task asks, as lm-eval has normalised it: the engine follows `until` and `max_gen_toks`."""
    name = _asked(gen_kwargs, OF_A_TASK)
    return f"the task's generation_kwargs set {name}" if name else None


def _asked(settings: Mapping[str, Any], unfollowed: Mapping[str, tuple]) -> str | None:
    """The first setting that asks for something."""
    asked = {name: settings.get(name) for name in unfollowed}
    return next((k for k, value in asked.items() if value is not None and value not in unfollowed[k]), None)


def rope_limit(hf: Any) -> float:
    """The length beyond which a model changes the rotary frequencies of all positions (longrope, dynamic); inf where it does not.

    Which frequencies it takes depends on the longest sequence of a call, and the engine's calls hold sequences of many lengths.
    """
    config = hf.config.get_text_config(decoder=True)
    given = getattr(config, "rope_parameters", None) or {}
    # one for all layers, or one a kind of layer
    ropes = [given, *(one for one in given.values() if isinstance(one, dict))]
    names = [(rope, ROPES_THAT_SWITCH.get(rope.get("rope_type", ""))) for rope in ropes]
    return min((rope.get(name) or getattr(config, name) for rope, name in names if name), default=math.inf)


def row_limit(hf: Any) -> float:
    """How many rows a call may have before some layer treats a row by its place in the call; inf where none does.

    Llama 4 scales attention by that place (`attn_temperature_tuning`), and GPT-Neo counts its local window in rows, whatever the
    mask. In the engine's calls the place of a row is not its position in the text.
    """
    config = hf.config.get_text_config(decoder=True)
    scales = getattr(config, "attn_temperature_tuning", False)
    scaled = getattr(config, "floor_scale", math.inf) - 1 if scales else math.inf
    local = config.window_size if "local" in (getattr(config, "attention_layers", None) or ()) else math.inf
    return min(scaled, local)


@torch.inference_mode()
def trial_failure(executor: Executor, hf: Any) -> str | None:
    """None if the engine computes what the stock model does on an edited chain; else the reason why not.

    The chain skips a layer and repeats the last one. Where two items of unlike length in one batch come out wrong, or the
    memory has no room for both, items share none from then on. Tolerance: 0.001 standard deviations of the logits in float32,
    0.1 in 16 bits; a wrong mask, position or cache slot is off by far more.
    """
    if executor.mixes and executor.samples_in_flight > 1:
        try:
            executor.mixes = _off(executor, hf, 2) is None
        except OF_THE_FAMILY:
            executor.mixes = False
    return _off(executor, hf, 1)


def _off(executor: Executor, hf: Any, num_items: int) -> str | None:
    """What is wrong when so many items share a batch, None if nothing is."""
    chain = edited_chain(len(executor.anatomy.layers))
    prompts = [some[:1] if executor.kv else some for some in (SEQUENCES, SHORTER)[:num_items]]
    items = [executor.open(some, [[len(one) - 6, len(one) - 1] for one in some]) for some in prompts]
    limit = 0.1 if is_low(executor.anatomy.dtype) else 1e-3
    work = [(item, [chain]) for item in items]
    try:
        if len(executor.parts(work)) > 1:  # which refuses a memory that is too small for one
            return "the memory has no room for two items at a time"
        rows = executor.run_part(work)
        found = [
            ("the prompt pass", executor.anatomy.logits(own), stock_rows(hf, chain, item, some))
            for (own,), item, some in zip(rows, items, prompts, strict=True)
        ]
        if executor.kv and num_items == 1:
            decoder = Decoder(executor, items, [chain], [len(prompts[0][0])], 2)
            decoder.load_prompts()
            step = executor.anatomy.logits(decoder.step(np.array([NEXT]), 0))
            found.append(("a cached step", step, stock_logits(hf, chain, [*prompts[0][0], NEXT])[-1:]))
    finally:
        for item in items:
            executor.close(item)
    for what, ours, stock in found:
        if not torch.isfinite(stock).all():
            dtype = dtype_name(executor.anatomy.dtype)
            return (
                f"numbers overflow {dtype} where an edited chain is tried, for which another model.dtype may have room"
            )
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
    for rows, tokens in zip(item.packed.rows, sequences, strict=True):
        logits |= dict(zip(rows, stock_logits(hf, chain, tokens), strict=True))
    return torch.stack([logits[row] for row in item.reads.tolist()])
