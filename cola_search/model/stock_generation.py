"""Stock cached generation for a batch of prompts: transformers' own `generate`, and nothing of it but its loop and cache."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, PreTrainedModel, StoppingCriteria

from cola_search.model.plain_head import plain_head

Done = Callable[[int, list[int]], bool]  # (which prompt, its tokens so far) -> whether the answer is complete
Choose = Callable[[int, Tensor], int]  # (which prompt, logits [V] of its next token) -> the token


@torch.inference_mode()
def generate_batch(
    hf: PreTrainedModel, prompts: Sequence[list[int]], done: Done, choose: Choose | None = None
) -> list[list[int]]:
    """The tokens that the model answers to each prompt, up to and including the one that completes the answer.

    The model also reads that last token, so there is one cached pass for every generated token. Tokens are the most
    likely ones, or those that `choose` takes; penalties and sampling in the model's own generation_config do not apply.
    """
    ids, mask = pad(prompts, "left", hf.device)
    ending = _Ending(ids.shape[1], done)
    processors = [] if choose is None else [_Chosen(choose)]
    generate: Any = hf.generate  # a mixin whose type mypy cannot follow
    with _plain_generation(hf), plain_head(hf):
        generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=1_000_000,  # `done` ends it
            stopping_criteria=[ending],
            logits_processor=processors,
            use_cache=True,
        )
    return [ending.answers[i] for i in range(len(prompts))]


def pad(sequences: Sequence[list[int]], side: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids `[B, n]` padded on a side, and the mask `[B, n]` that is 1 on real tokens."""
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, sequence in enumerate(sequences):
        place = slice(longest - len(sequence), longest) if side == "left" else slice(0, len(sequence))
        ids[i, place] = torch.tensor(sequence)
        mask[i, place] = 1
    return ids.to(device), mask.to(device)


class _Ending(StoppingCriteria):
    """Ends a row one step after its answer is complete, so that the last token of the answer is read too."""

    def __init__(self, start: int, done: Done) -> None:
        self.start, self.done = start, done
        self.answers: dict[int, list[int]] = {}

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        rows = input_ids[:, self.start : -1].tolist()
        for i, tokens in enumerate(rows):
            if i not in self.answers and tokens and self.done(i, tokens):
                self.answers[i] = tokens
        return torch.tensor([i in self.answers for i in range(len(rows))], device=input_ids.device)


class _Chosen(LogitsProcessor):
    """Leaves only the token that was chosen."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        tokens = torch.tensor([[self.choose(i, row)] for i, row in enumerate(scores)], device=scores.device)
        return torch.full_like(scores, float("-inf")).scatter_(1, tokens, 0.0)


@contextmanager
def _plain_generation(hf: PreTrainedModel) -> Iterator[None]:
    """The model without the generation settings that it came with, such as a repetition penalty."""
    own = hf.generation_config
    hf.generation_config = GenerationConfig(do_sample=False, num_beams=1)
    try:
        yield
    finally:
        hf.generation_config = own
