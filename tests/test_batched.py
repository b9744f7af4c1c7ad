"""Answers of many chains at once where numbers overflow, against the reference."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from test_engine import SETTINGS, generation, of_family, sample_of

from cola_search.chain import Chain
from cola_search.model.engine import Engine
from cola_search.model.loading import LoadedModel

CHAINS = [Chain((0, 1, 2, 3)), Chain((0, 2, 3)), Chain((0, 1, 1, 3)), Chain((2, 1)), Chain((1,))]
MIXED = replace(SETTINGS, mode="batched", mix_samples=True, samples_in_flight=3)


@pytest.fixture(scope="module")
def half(tiny_model: LoadedModel) -> LoadedModel:
    """In float16 a "z" overflows behind layer 1, and with it all that may look at it."""
    model = of_family(tiny_model, "llama", max_position_embeddings=256)
    hf: Any = model.hf.half()
    with torch.no_grad():
        hf.model.embed_tokens.weight[model.tokenizer.encode("z")] = 65000.0
        hf.model.layers[1].mlp.down_proj.weight.mul_(1000)
    return replace(model, dtype=torch.float16)


def options(*endings: str) -> Any:
    return sample_of("loglikelihood", *(("what is", end) for end in endings))


def test_an_option_that_overflows_leaves_the_other_options_and_samples_their_scores(half: LoadedModel) -> None:
    engine = Engine(half, MIXED, generates=False)
    samples = [options("abc", "zbc", "abz", "azb"), options("bcd", "bcde"), options("zz")]
    answers = engine.answer([(engine.open(sample), CHAINS) for sample in samples])
    found = [value for some in answers for answer in some for value, _ in answer.responses]
    stock = [value for sample in samples for chain in CHAINS for value, _ in engine.stock.responses(sample, chain)]
    assert found == pytest.approx(stock, abs=0.01, nan_ok=True)
    assert 0 < sum(value != value for value in stock) < len(stock)  # some overflow there too


def test_a_gold_answer_or_a_sample_beside_it_that_overflows_leaves_a_generation_its_text(half: LoadedModel) -> None:
    engine = Engine(half, MIXED, generates=True)
    overflowing = replace_prompt(generation(9, 6), "what is z")
    samples = [generation(13, 5, target="fz!"), overflowing, generation(8, 5, target="abc")]
    answers = engine.answer([(engine.open(sample), CHAINS) for sample in samples])
    for sample, some in zip(samples, answers, strict=True):
        assert [answer.responses for answer in some] == [engine.stock.responses(sample, chain) for chain in CHAINS]


def replace_prompt(sample: Any, prompt: str) -> Any:
    (request,) = sample.requests
    sample.requests = [replace(request, arguments=(prompt, request.args[1]))]
    return sample


@pytest.mark.parametrize("generates", [False, True])
def test_chains_that_overflow_cost_what_others_do_and_the_first_is_said(
    half: LoadedModel, caplog: pytest.LogCaptureFixture, generates: bool
) -> None:
    engine = Engine(half, MIXED, generates=generates)
    pair = [generation(11, 1, target=gold) if generates else options("abc", gold) for gold in ("xx", "zx")]
    costs = []
    for sample in pair:
        before = engine.layer_executions
        engine.answer([(engine.open(sample), CHAINS)])
        costs.append(engine.layer_executions - before)
    assert costs[0] == costs[1] > 0
    assert caplog.text.count("numbers overflow float16 in chain 0-3 on sample 's'") == 1
