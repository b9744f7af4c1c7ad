"""The reference: one chain, one sample, stock transformers, driven by lm-eval's own model class."""

import logging
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from cola_search.chain import Chain
from cola_search.errors import UserError
from cola_search.model.caches import keeps_a_cache, without_cache
from cola_search.model.loading import LoadedModel, require_loaded
from cola_search.model.plain_head import plain_head
from cola_search.model.surgery import apply_chain

_DRAWN = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}


@dataclass(frozen=True)
class Encoded:
    """The requests of a sample in tokens.

    contexts: token ids before what is scored or generated, one list a request.
    continuations: token ids that are scored, one list a request; empty lists where text is generated.
    stops: strings that end a generation.
    max_new_tokens: bound of a generation; 0 where nothing is generated.
    gen_kwargs: what else the task asks of a generation.
    """

    contexts: list[list[int]]
    continuations: list[list[int]]
    stops: list[str]
    max_new_tokens: int = 0
    gen_kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def generates(self) -> bool:
        return self.max_new_tokens > 0


class Stock:
    """lm-eval's `HFLM` around a loaded model: its tokenisation for the engine, its answers for verification."""

    def __init__(self, model: LoadedModel):
        require_loaded(model)
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        from lm_eval.models.huggingface import HFLM

        self.model = model
        self.lm = HFLM(pretrained=model.hf, tokenizer=model.tokenizer, batch_size=1, softmax_dtype="float32")

    def responses(self, sample: Any, chain: Chain) -> list:
        """The sample's answers with the model's layers in the order of `chain`, as `sample.verdict` takes them."""
        hf = self.model.hf
        with apply_chain(hf, chain), plain_head(hf), nullcontext() if keeps_a_cache(hf) else without_cache(hf):
            return getattr(self.lm, sample.requests[0].request_type)(sample.requests, disable_tqdm=True)

    def sampled(self, sample: Any, times: int, seed: int) -> list[str]:
        """Texts that the untouched model answers when its tokens are drawn at temperature 1, `times` of them in a batch.

        They follow from sample, times and seed alone; what the model's generation_config says beside temperature, top_k
        and top_p goes for them as it does for its greedy answer.
        """
        request = sample.requests[0]
        context, how = request.args
        drawn = replace(request, arguments=(context, {**how, **_DRAWN}))
        gpus = [self.model.hf.device] if self.model.hf.device.type == "cuda" else []
        self.lm.batch_size_per_gpu = times
        try:
            with torch.random.fork_rng(devices=gpus), plain_head(self.model.hf):
                torch.manual_seed(seed)
                return self.lm.generate_until([drawn] * times, disable_tqdm=True)
        finally:
            self.lm.batch_size_per_gpu = 1

    def encode(self, sample: Any) -> Encoded:
        """The sample's requests as lm-eval tokenises them."""
        kind = sample.requests[0].request_type
        if kind == "loglikelihood":
            pairs = [self._pair(*request.args) for request in sample.requests]
            encoded = Encoded([c for c, _ in pairs], [o for _, o in pairs], [])
        elif kind == "generate_until":
            encoded = self._prompt(*sample.requests[0].args)
        else:
            raise UserError(
                f"task request type {kind!r} is not supported: use a task of loglikelihood or generate_until requests."
            )
        _refuse_empty(sample.id, encoded)
        longest = max(len(c) + len(o) for c, o in zip(encoded.contexts, encoded.continuations, strict=True))
        room = self.lm.max_length + (0 if encoded.generates else 1) - encoded.max_new_tokens
        if longest > room:
            raise UserError(
                f"sample {sample.id!r} has {longest} tokens and the model's context leaves room for {room}: "
                "lower task.fewshot or take another model."
            )
        return encoded

    def _pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        if context:
            return self.lm._encode_pair(context, continuation)
        tokens = self.lm.tok_encode(continuation, add_special_tokens=False)
        prefix = self.lm.prefix_token_id
        return (tokens[:1], tokens[1:]) if tokens[:1] == [prefix] else ([prefix], tokens)

    def _prompt(self, context: str, gen_kwargs: dict) -> Encoded:
        from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

        kwargs = dict(normalize_gen_kwargs(gen_kwargs, self.lm.max_gen_toks))
        if kwargs.get("do_sample"):
            raise UserError(
                "the task samples its answers (do_sample): chains are compared on greedy answers only, so choose a greedy task."
            )
        if self.model.hf.generation_config.stop_strings:
            raise UserError(
                f"the generation_config of {self.model.name} sets stop_strings, with which lm-eval cannot generate: "
                "take them out of its generation_config.json."
            )
        end = self.lm.eot_token_id
        eos = None if end is None else self.lm.tok_decode(end, skip_special_tokens=False)
        stops = handle_stop_sequences(kwargs.pop("until", None), eos=eos)  # an end that is spelt out ends an answer too
        bound = int(kwargs.pop("max_gen_toks"))
        return Encoded([self.lm.tok_encode(context)], [[]], [s for s in stops if s], bound, kwargs)


def _refuse_empty(sample_id: str, encoded: Encoded) -> None:
    scored = [] if encoded.generates else encoded.continuations
    for what, texts in (("context", encoded.contexts), ("continuation", scored)):
        if not all(texts):
            raise UserError(f"sample {sample_id!r} has a request whose {what} is empty, which lm-eval does not answer.")
