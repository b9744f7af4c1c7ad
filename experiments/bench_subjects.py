"""What bench_engine.py runs: a model, its items, the chains that a search asks for, engines, and their agreement with stock."""

import argparse
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from cola_search import Chain, load_model, load_task
from cola_search.baselines import make_search
from cola_search.config import compose_settings
from cola_search.model.engine import Engine
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.stock import Encoded
from cola_search.outcome import Score
from cola_search.priors import uniform
from cola_search.scoring import ModelScorer, verify
from cola_search.seeding import SEARCH, generator

SHAPES = {  # hidden, intermediate, layers, heads, kv heads, head width, vocabulary, tied
    "llama32_3b": (3072, 8192, 28, 24, 8, 128, 128256, True),
    "qwen25_7b": (3584, 18944, 28, 28, 4, 128, 152064, False),
}


def real(args: argparse.Namespace) -> tuple[Any, Any, list[Any]]:
    """A real model with the items of a real task."""
    model = load_model(args.model, dtype=args.dtype)
    task = load_task(args.task, limit=args.items).bind(model)
    return model, task, list(task)


def made_up(args: argparse.Namespace) -> tuple[Any, Any, list[Any]]:
    """Random weights in a full-size shape, and four-option items (or prompts to continue) of random tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM

    hidden, inner, layers, heads, kv_heads, width, vocabulary, tied = SHAPES[args.model.removeprefix("shape:")]
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, head_dim=width, tie_word_embeddings=tied, max_position_embeddings=4096,
    )  # fmt: skip
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        torch.set_default_dtype(getattr(torch, args.dtype))
        hf = LlamaForCausalLM(config).eval().requires_grad_(False)
        torch.set_default_dtype(torch.float32)
    model = SimpleNamespace(hf=hf, tokenizer=None, num_layers=layers, name=args.model)
    rng = np.random.default_rng(0)
    draw = lambda n: rng.integers(10, 30000, n).tolist()  # noqa: E731
    samples = []
    for i in range(args.items):
        context = draw(int(rng.integers(30, 60)))
        encoded = Encoded([context] * 4, [draw(int(rng.integers(1, 9))) for _ in range(4)], [])
        samples.append(SimpleNamespace(id=str(i), encoded=encoded))
    return model, SimpleNamespace(kind="loglikelihood"), samples


class Encoder:
    """Stands in for lm-eval where the items are made up: they are tokens already."""

    def __init__(self, model: Any):
        self.lm = SimpleNamespace(tokenizer=None)

    def encode(self, sample: Any) -> Encoded:
        return sample.encoded


def make_engine(args: argparse.Namespace, model: Any, task: Any, in_flight: int) -> Engine:
    """A fresh engine."""
    settings = EngineSettings(
        mode="batched",
        memory=args.memory,
        samples_in_flight=in_flight,
        mix_samples=in_flight > 1,
        max_batch_tokens=65536,
    )
    stock = Encoder(model) if args.model.startswith("shape:") else None
    return Engine(model, settings, generates=task.kind == "generate_until", stock=stock)


def ask_as_a_search_does(args: argparse.Namespace, model: Any, task: Any, sample: Any) -> list[Chain]:
    """The chains of one search of the sample, in order; with made-up items every chain is as good as its margin is drawn."""
    settings = replace(compose_settings([f"search={args.search}"]).search, simulations=args.simulations, stop="none")
    search = make_search(
        settings,
        model.num_layers,
        uniform(model.num_layers, settings.hazard, settings.skip_share),
        generator(0, sample.id, SEARCH),
    )
    scorer = None if args.model.startswith("shape:") else ModelScorer(model, task, EngineSettings(memory=args.memory))
    rng = generator(1, sample.id, SEARCH)
    while chains := search.ask():
        if scorer is None:
            search.tell(chains, [Score(rng.random() < 0.4, float(rng.normal())) for _ in chains])
        else:
            search.tell(chains, scorer.score(sample, chains))
    if scorer is not None:
        scorer.release(sample)
    return [chain for chain, _, _ in search.outcome().chains]


def agreement(
    args: argparse.Namespace, model: Any, task: Any, samples: list, chains: dict[str, list[Chain]]
) -> dict[str, Any]:
    """On how many (sample, chain) pairs the engine's verdict is the reference's, and how many of the others are near ties."""
    engine_settings = EngineSettings(mode="batched", memory=args.memory)
    scorer = ModelScorer(model, task, engine_settings)
    per_sample = -(-args.agreement // len(samples))
    counts = {"pairs": 0, "same_verdict": 0, "same_prediction": 0, "near_ties": 0, "different_and_no_near_tie": 0}
    margins = []
    for sample in samples:
        some = chains[sample.id]
        for start in range(0, len(some), 16):  # scored in waves, as a search does
            scores = scorer.score(sample, some[start : start + 16])
            take = [
                i
                for i in range(len(scores))
                if (start + i) * per_sample // len(some) != (start + i + 1) * per_sample // len(some)
            ]
            for i in take:
                reference = verify(scorer, sample, some[start + i])
                same = scores[i].correct == reference.correct
                tie = scores[i].near_tie or reference.near_tie
                counts["pairs"] += 1
                counts["same_verdict"] += same
                counts["same_prediction"] += scores[i].prediction == reference.prediction
                counts["near_ties"] += tie
                counts["different_and_no_near_tie"] += not same and not tie
                margins.append(abs(scores[i].margin - reference.margin))
        scorer.release(sample)
    known = [margin for margin in margins if not np.isnan(margin)]  # generated answers have none in the reference
    return {**counts, "margin_difference": {q: float(np.quantile(known, q)) for q in (0.5, 0.9, 0.99, 1.0) if known}}
