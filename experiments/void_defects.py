"""What the released evaluation of the Void paper does and ours does not, each to be switched on by itself.

Read in its eval.py and lac.py (arxiv.org/abs/2505.14467): the first generated token is never saved, answers are sampled
without a seed (here with one for each sample), the right option of GPQA is always the last, and text that the chat template
already began with a BOS token is tokenised with another one.
"""

import dataclasses
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from cola_search.errors import UserError
from cola_search.model.stock import Encoded
from cola_search.tasks import items
from cola_search.tasks.sample import Sample

Defect = Literal["lost_first_token", "sampling", "gold_last", "double_bos"]

TEMPERATURE, TOP_P = 0.6, 0.9  # of the released evaluation
_OPTION_KEYS = (("choices", "answer"), ("options", "gold"))  # MMLU; ours for GPQA


def sampler(ids: Sequence[str], seed: int) -> Callable[[int, Tensor], int]:
    """A choice of tokens at temperature 0.6 and top-p 0.9, with a generator for each of the samples `ids`."""
    generators = [np.random.default_rng([seed, zlib.crc32(name.encode())]) for name in ids]

    def choose(row: int, logits: Tensor) -> int:
        scaled = logits.double().cpu().numpy() / TEMPERATURE
        order = np.argsort(-scaled, kind="stable")
        shares = np.exp(scaled[order] - scaled[order[0]])
        shares /= shares.sum()
        kept = shares[np.cumsum(shares) - shares < TOP_P]
        return int(order[generators[row].choice(len(kept), p=kept / kept.sum())])

    return choose


def with_gold_last(sample: Sample) -> Sample:
    """The item with its right option moved to the end, the others in their order.

    Raises UserError for an item without a list of options in its prompt.
    """
    for options, gold in _OPTION_KEYS:
        texts, right = sample.doc.get(options), sample.doc.get(gold)
        if isinstance(texts, list) and isinstance(right, int):
            moved = [text for i, text in enumerate(texts) if i != right] + [texts[right]]
            return _with_doc(sample, {**sample.doc, options: moved, gold: len(texts) - 1})
    raise UserError(f"gold_last: the items of task {sample.task.name} list no options; leave that defect out.")


def with_second_bos(encoded: Encoded, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    """The requests with another BOS token in front. Raises UserError for a tokenizer that adds none."""
    added = tokenizer("a")["input_ids"][:1]
    if tokenizer.bos_token_id is None or added != [tokenizer.bos_token_id]:
        raise UserError("double_bos: the model's tokenizer adds no BOS token; leave that defect out.")
    return dataclasses.replace(encoded, contexts=[added + context for context in encoded.contexts])


def _with_doc(sample: Sample, doc: dict[str, Any]) -> Sample:
    """The item as if the data set held this document."""
    task, part = sample.task, sample.task.parts[sample.part]
    choices, golds = items.answer(part, doc)
    numbered = tuple(gold for gold in golds if isinstance(gold, int))
    requests = task._construct(part, 0, doc)
    return dataclasses.replace(sample, doc=doc, requests=requests, gold=golds[0], golds=numbered, choices=choices)
