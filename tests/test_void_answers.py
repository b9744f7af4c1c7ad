"""Answers with and without skipping, against the stock model one request at a time."""

import numpy as np
import pytest
import torch
from void_answers import Plan, Used, Variant, VoidRunner

from cola_search.model.loading import LoadedModel
from cola_search.model.stock import Encoded
from cola_search.model.void_skipping import skip_voids
from cola_search.model.voids import find_voids

LETTERS = Encoded([[9, 8, 7, 6, 5]] * 3, [[40], [41], [42]], [])
WORDS = Encoded([[20, 21, 22]] * 2, [[30, 31, 32], [33, 34]], [])
PROMPTS = [
    Encoded([[9, 8, 7, 6, 5, 4]], [[]], [], max_new_tokens=3),
    Encoded([[20, 21, 22]], [[]], [], max_new_tokens=5),
]
VARIANTS = [
    Variant("none"),
    Variant("readout", 0.5),
    Variant("readout", 0.5, ("pp",)),
    Variant("readout", 0.9, change="absolute"),
    Variant("bypass", 0.5),
    Variant("bypass", 0.5, ("rg",)),
]


def slow(model: LoadedModel, context: list[int], continuation: list[int], variant: Variant) -> tuple[float, bool]:
    """One option by the stock model alone, under skip_voids."""
    ids = torch.tensor([context + continuation])
    with torch.inference_mode():
        if variant.how == "none":
            logits = model.hf(ids).logits[0]
        else:
            with skip_voids(
                model.hf, variant.alpha, variant.how, phases=variant.phases, change=variant.change
            ) as skipping:
                skipping.response = torch.arange(ids.shape[1])[None] >= len(context)
                logits = model.hf(ids).logits[0]
    places = torch.arange(len(context) - 1, ids.shape[1] - 1)
    wanted = torch.tensor(continuation)
    greedy = bool((logits[places].argmax(-1) == wanted).all())
    return float(logits.log_softmax(-1)[places, wanted].sum()), greedy


def test_batched_scores_of_every_variant_are_those_of_one_option_at_a_time(tiny_model: LoadedModel):
    scored = VoidRunner(tiny_model).score([LETTERS, WORDS], VARIANTS)
    seen = set()
    for variant, samples in zip(VARIANTS, scored, strict=True):
        for encoded, responses in zip([LETTERS, WORDS], samples, strict=True):
            expected = [
                slow(tiny_model, c, o, variant) for c, o in zip(encoded.contexts, encoded.continuations, strict=True)
            ]
            np.testing.assert_allclose([r[0] for r in responses], [e[0] for e in expected], rtol=1e-4, atol=1e-4)
            assert [r[1] for r in responses] == [e[1] for e in expected]
        seen.add(tuple(round(r[0], 3) for r in samples[1]))
    assert len(seen) >= 5  # the variants do differ


def test_the_greedy_option_is_marked(tiny_model: LoadedModel):
    with torch.inference_mode():
        best = int(tiny_model.hf(torch.tensor([[20, 21, 22]])).logits[0, -1].argmax())
    encoded = Encoded([[20, 21, 22]] * 3, [[best], [best - 1], [best, 258 - best]], [])
    ((responses,),) = VoidRunner(tiny_model).score([encoded], [Variant("none")])
    second = slow(tiny_model, [20, 21, 22], [best, 258 - best], Variant("none"))
    assert [greedy for _, greedy in responses] == [True, False, False] and not second[1]


def test_options_of_one_token_share_their_sequence():
    plan = Plan.of([LETTERS, WORDS])
    assert plan.sequences == [[9, 8, 7, 6, 5], [20, 21, 22, 30, 31], [20, 21, 22, 33]]
    assert plan.prompts == [5, 3, 3]
    assert plan.at[:3] == [0, 0, 0]


def test_the_same_tokens_with_another_end_of_the_prompt_are_another_sequence():
    plan = Plan.of([Encoded([[1, 2, 3]], [[4]], []), Encoded([[1, 2]], [[3, 4]], [])])
    assert plan.sequences == [[1, 2, 3], [1, 2, 3]] and plan.prompts == [3, 2]


@pytest.mark.parametrize("how", ["none", "readout", "bypass"])
def test_a_batch_generates_and_uses_what_each_prompt_does_alone(tiny_model: LoadedModel, how):
    runner = VoidRunner(tiny_model)
    together = runner.generate(PROMPTS, Variant(how, 0.5))
    for prompt, found in zip(PROMPTS, together, strict=True):
        (alone,) = runner.generate([prompt], Variant(how, 0.5))
        assert found.tokens == alone.tokens
        assert found.pp.tokens == len(prompt.contexts[0]) and found.rg.tokens == len(found.tokens)
        assert (found.pp.layers == alone.pp.layers).all() and (found.rg.layers == alone.rg.layers).all()
        everything = how == "none"
        assert (found.pp.layers.sum() == found.pp.tokens * tiny_model.num_layers) == everything


@pytest.mark.parametrize("respond", [True, False])
def test_usage_of_a_readout_is_that_of_find_voids(tiny_model: LoadedModel, respond):
    text = "The capital"
    encoded = Encoded([tiny_model.tokenizer(text)["input_ids"]], [[]], [], max_new_tokens=4)
    variants = [Variant("readout", 0.4), Variant("readout", 0.9), Variant("none")]
    found = list(VoidRunner(tiny_model).usage([encoded], variants, respond))
    for variant, ((pp, rg),) in zip(variants[:2], found[:2], strict=True):
        voids = find_voids(tiny_model, text, variant.alpha, max_new_tokens=4)
        assert (pp.layers == (~voids.pp).sum(axis=0)).all()
        assert (rg.layers == (~voids.rg).sum(axis=0)).all() if respond else rg.tokens == 0
    ((pp, _),) = found[2]
    assert (pp.layers == pp.tokens).all()


def test_usage_of_a_bypass_is_the_same_with_and_without_an_answer(tiny_model: LoadedModel):
    runner = VoidRunner(tiny_model)
    (answered,), (read,) = (list(runner.usage(PROMPTS, [Variant("bypass", 0.5)], respond)) for respond in (True, False))
    for (pp, rg), (pp_read, rg_read) in zip(answered, read, strict=True):
        assert (pp.layers == pp_read.layers).all() and rg.tokens > 0 == rg_read.tokens


def test_a_phase_that_does_not_skip_uses_all_layers(tiny_model: LoadedModel):
    runner = VoidRunner(tiny_model)
    for how in ("readout", "bypass"):
        for pp, rg in next(runner.usage(PROMPTS, [Variant(how, 0.5, ("pp",))], respond=True)):
            assert (rg.layers == rg.tokens).all() and not (pp.layers == pp.tokens).all()


def test_used_counts_the_tokens_that_did_not_skip_each_layer():
    used = Used.of(np.array([[True, False], [True, True], [False, False]]))
    assert used.tokens == 3 and used.layers.tolist() == [1, 2]
