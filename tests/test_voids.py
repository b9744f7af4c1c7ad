"""Voids: the formula, the phases, batches, bad input."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from families import FAMILIES, tiny
from test_engine import of_family
from torch import nn

from cola_search.errors import UserError
from cola_search.model.layer_watch import watch_layers
from cola_search.model.loading import LoadedModel
from cola_search.model.stock import Stock
from cola_search.model.surgery import apply_chain, find_layers
from cola_search.model.voids import NormRecorder, encode, find_voids, find_voids_many, judge_norms, prompt_pass
from cola_search.tasks.load import load_task

TEXT = "The capital of France is"
PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12, 13, 14], [20, 21, 22, 23, 24]]


def reference(norms: np.ndarray, alpha: float, change: str = "signed") -> tuple[np.ndarray, np.ndarray]:
    """Voids and thresholds [T, L] from norms [T, L + 1], straight from LAC's formula, token by token."""
    voids, thresholds = (
        np.zeros((len(norms), norms.shape[1] - 1), dtype=bool),
        np.zeros((len(norms), norms.shape[1] - 1)),
    )
    for t, n in enumerate(norms):
        d = [n[i + 1] - n[i] for i in range(len(n) - 1)]
        if change == "absolute":
            d = [abs(x) for x in d]
        for layer, moved in enumerate(d):
            threshold = alpha * (max(d[:layer]) - min(d[:layer])) if layer else 0
            voids[t, layer], thresholds[t, layer] = moved < threshold, threshold
    return voids, thresholds


def stream_norms(hf, layers: nn.ModuleList, ids: list[int]) -> np.ndarray:
    """Norms [T, L + 1] of one sequence alone, from the inputs and outputs of the layers."""
    seen: list[torch.Tensor] = []

    def hook(module, args, kwargs, output):
        if not seen:
            seen.append((args or [kwargs["hidden_states"]])[0])
        seen.append(output[0] if isinstance(output, tuple) else output)

    handles = [layer.register_forward_hook(hook, with_kwargs=True) for layer in layers]
    with torch.inference_mode():
        hf(torch.tensor([ids]), use_cache=False)
    for handle in handles:
        handle.remove()
    return np.stack([h[0].float().square().sum(-1).sqrt().numpy() for h in seen], axis=1)


@pytest.mark.parametrize("change", ["signed", "absolute"])
@pytest.mark.parametrize("alpha", [0.3, 0.8, 1.0])
def test_voids_of_norms_are_those_of_the_formula(alpha, change):
    norms = np.random.default_rng(0).normal(5, 2, size=(40, 9)).astype(np.float32)
    voids, thresholds = judge_norms(torch.from_numpy(norms), alpha, change)
    expected, expected_thresholds = reference(norms, alpha, change)
    assert (voids.numpy() == expected).all() and 0 < expected.mean() < 1
    np.testing.assert_allclose(thresholds.numpy(), expected_thresholds, rtol=1e-5, atol=1e-5)


def test_a_layer_with_a_falling_norm_is_a_void_and_the_first_rise_is_not():
    voids, thresholds = judge_norms(torch.tensor([[1.0, 3.0, 2.5, 2.6, 9.0]]))
    assert voids.tolist() == [[False, True, True, False]]
    assert thresholds[0].tolist() == pytest.approx([0, 0, 0.8 * 2.5, 0.8 * 2.5])


def test_a_layer_that_reaches_its_threshold_exactly_is_active():
    assert judge_norms(torch.tensor([[2.0, 2.0, 2.0]]))[0].tolist() == [[False, False]]


def test_the_absolute_change_lets_a_large_fall_count_as_active():
    norms = torch.tensor([[1.0, 2.0, 1.9, 0.1]])
    assert judge_norms(norms, 0.8, "signed")[0].tolist() == [[False, True, True]]
    assert judge_norms(norms, 0.8, "absolute")[0].tolist() == [[False, False, False]]


def test_prompt_voids_of_a_text_are_those_of_the_formula(tiny_model: LoadedModel):
    found = find_voids(tiny_model, TEXT, alpha=0.5, phases=("pp",))
    layers = find_layers(tiny_model.hf)[1]
    norms = stream_norms(tiny_model.hf, layers, tiny_model.tokenizer(TEXT)["input_ids"])
    np.testing.assert_allclose(found.prompt.norms, norms, rtol=1e-4)
    voids, thresholds = reference(found.prompt.norms, 0.5)
    assert (found.pp == voids).all() and 0 < voids.mean() < 1
    np.testing.assert_allclose(found.prompt.thresholds, thresholds, rtol=1e-4, atol=1e-5)
    assert "".join(found.prompt.tokens) == TEXT


@pytest.mark.parametrize(
    "family", ["bloom", "falcon_h1", "gemma3_text", "gpt2", "llama", "mixtral", "opt", "qwen3_next"]
)
def test_norms_in_a_padded_batch_are_those_of_each_sequence_alone(family):
    assert family in FAMILIES
    hf = tiny(family)
    recorder = NormRecorder()
    with watch_layers(hf, recorder):
        prompt_pass(hf, PROMPTS)
    for i, prompt in enumerate(PROMPTS):
        alone = NormRecorder()
        with watch_layers(hf, alone):
            prompt_pass(hf, [prompt])
        torch.testing.assert_close(recorder.passes[0][i, : len(prompt)], alone.passes[0][0], rtol=1e-4, atol=1e-4)


def test_batch_composition_does_not_matter(tiny_model: LoadedModel):
    texts = [TEXT, "One two", "A much longer text that pads the others"]
    together = find_voids_many(tiny_model, texts, alpha=0.5, max_new_tokens=4)
    for text, found in zip(texts, together, strict=True):
        alone = find_voids(tiny_model, text, alpha=0.5, max_new_tokens=4)
        assert found.prompt.tokens == alone.prompt.tokens and found.response.tokens == alone.response.tokens
        np.testing.assert_allclose(found.prompt.norms, alone.prompt.norms, rtol=1e-4)
        np.testing.assert_allclose(found.response.norms, alone.response.norms, rtol=1e-4)
        assert (found.pp == alone.pp).all() and (found.rg == alone.rg).all()


def test_every_generated_token_has_a_row_with_statistics_of_its_own(tiny_model: LoadedModel):
    found = find_voids(tiny_model, TEXT, alpha=0.5, max_new_tokens=5)
    assert found.rg.shape == (len(found.response.tokens), tiny_model.num_layers)
    assert 1 <= len(found.rg) <= 5
    assert (found.rg == reference(found.response.norms, 0.5)[0]).all()


def test_the_answer_is_the_greedy_one_of_stock_generate(tiny_model: LoadedModel):
    ids = tiny_model.tokenizer(TEXT, return_tensors="pt")["input_ids"]
    stock = tiny_model.hf.generate(ids, do_sample=False, max_new_tokens=6)[0, ids.shape[1] :]
    found = find_voids(tiny_model, TEXT, max_new_tokens=6)
    assert found.response.tokens == [tiny_model.tokenizer.decode([t]) for t in stock]


@pytest.mark.parametrize(
    ("family", "kinds"),
    [
        ("lfm2", ["conv", "conv", "full_attention", "conv"]),
        ("qwen3_5_text", ["linear_attention", "linear_attention", "full_attention", "linear_attention"]),
        ("qwen3_next", ["linear_attention", "linear_attention", "full_attention", "linear_attention"]),
    ],
)
def test_a_chain_of_a_hybrid_family_without_attention_is_traced_without_a_cache(
    tiny_model: LoadedModel, family: str, kinds: list[str]
):
    """Its answer is the greedy one, its norms are those of prompt and answer read at once, and a batch changes nothing."""
    hybrid = of_family(tiny_model, family, layer_types=kinds)
    texts = [TEXT, "One two", "A longer text that pads the others"]
    with apply_chain(hybrid.hf, (0, 1, 3)):
        (found, *_) = find_voids_many(hybrid, texts, max_new_tokens=4)
        alone = find_voids(hybrid, TEXT, max_new_tokens=4)
        ids = prompt = tiny_model.tokenizer(TEXT)["input_ids"]
        for _ in found.response.tokens:
            with torch.inference_mode():
                ids = [*ids, int(hybrid.hf(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())]
        norms = stream_norms(hybrid.hf, hybrid.hf.model.layers, ids)
    assert 1 <= len(found.rg) <= 4 and found.rg.shape[1] == found.pp.shape[1] == 3
    for one in (found, alone):
        assert one.response.tokens == [tiny_model.tokenizer.decode([t]) for t in ids[len(prompt) :]]
        np.testing.assert_allclose(np.concatenate([one.prompt.norms, one.response.norms]), norms, rtol=1e-4)


def test_the_prompt_phase_alone_costs_one_forward_pass_without_the_head(tiny_model: LoadedModel):
    passes, heads = [], []
    handles = [
        tiny_model.hf.base_model.register_forward_hook(lambda *_: passes.append(1)),
        tiny_model.hf.get_output_embeddings().register_forward_hook(lambda *_: heads.append(1)),
    ]
    try:
        found = find_voids(tiny_model, TEXT, phases=("pp",))
    finally:
        for handle in handles:
            handle.remove()
    assert (len(passes), len(heads)) == (1, 0)
    assert len(found.pp) and found.rg.shape == (0, tiny_model.num_layers)


def test_only_the_phases_that_were_asked_for_have_rows(tiny_model: LoadedModel):
    found = find_voids(tiny_model, TEXT, phases=("rg",), max_new_tokens=3)
    assert found.pp.shape == (0, tiny_model.num_layers) and len(found.rg)


def test_low_precision_models_have_float32_norms(tiny_folder):
    from cola_search.model.loading import load_model

    model = load_model(str(tiny_folder), device="cpu", dtype="bfloat16")
    found = find_voids(model, TEXT, max_new_tokens=2)
    arrays = (found.prompt.norms, found.prompt.thresholds, found.response.norms, found.response.thresholds)
    assert all(array.dtype == np.float32 for array in arrays)
    assert (found.prompt.norms != torch.from_numpy(found.prompt.norms).bfloat16().float().numpy()).any()


def test_a_model_in_double_precision_has_the_norms_of_the_same_one_in_single(tiny_folder):
    from cola_search.model.loading import load_model

    model = load_model(str(tiny_folder), device="cpu", dtype="float32")
    single = find_voids(model, TEXT, phases=["pp"]).prompt.norms
    model.hf.double()
    double = find_voids(model, TEXT, phases=["pp"]).prompt.norms
    assert double.dtype == np.float32
    np.testing.assert_allclose(double, single, rtol=1e-4)


def test_the_prompt_of_an_item_is_the_context_of_its_first_request(smollm2: LoadedModel):
    sample = load_task("arc_easy", limit=1, model=smollm2)[0]
    found = find_voids(smollm2, sample, max_new_tokens=2)
    assert "".join(found.prompt.tokens) == sample.requests[0].args[0]
    layers = find_layers(smollm2.hf)[1]
    norms = stream_norms(smollm2.hf, layers, Stock(smollm2).encode(sample).contexts[0])
    np.testing.assert_allclose(found.prompt.norms, norms, rtol=1e-3)
    assert (found.pp == reference(found.prompt.norms, 0.8)[0]).all()
    assert 0.1 < found.pp.mean() < 0.99


def test_both_phases_of_a_real_model_are_those_of_the_formula(smollm2: LoadedModel):
    sample = load_task("arc_easy", limit=1, model=smollm2)[0]
    assert_formula(smollm2, sample)


def assert_formula(model: LoadedModel, sample, max_new_tokens: int = 3) -> None:
    """find_voids against the formula in NumPy, on norms of prompt and answer in one pass alone without a cache."""
    found = find_voids(model, sample, max_new_tokens=max_new_tokens)
    prompt = Stock(model).encode(sample).contexts[0]
    answer = model.hf.generate(
        torch.tensor([prompt]), do_sample=False, repetition_penalty=1.0, max_new_tokens=max_new_tokens
    )[0, len(prompt) :].tolist()
    norms = stream_norms(model.hf, find_layers(model.hf)[1], prompt + answer)
    traced = np.concatenate([found.prompt.norms, found.response.norms])
    np.testing.assert_allclose(traced, norms, rtol=1e-3)
    voids, thresholds = reference(norms, 0.8)
    clear = np.abs(np.diff(norms, axis=1) - thresholds) > 1e-3 * norms.max(axis=1, keepdims=True)
    assert (np.concatenate([found.pp, found.rg]) == voids)[clear].all() and clear.mean() > 0.8
    assert (np.concatenate([found.pp, found.rg]) == reference(traced, 0.8)[0]).all()
    assert 0.05 < found.pp.mean() < 0.99 and len(found.rg) == len(answer)


def test_voids_of_a_chain_are_traced_at_its_positions(tiny_model: LoadedModel):
    with apply_chain(tiny_model.hf, (0, 1, 1, 5)):
        assert find_voids(tiny_model, TEXT, phases=("pp",)).pp.shape[1] == 4
    assert find_voids(tiny_model, TEXT, phases=("pp",)).pp.shape[1] == 6


@pytest.mark.parametrize("alpha", [0, -0.1, 1.01, float("nan")])
def test_an_alpha_outside_0_to_1_is_refused(tiny_model: LoadedModel, alpha):
    with pytest.raises(UserError, match=r"alpha=.* must lie above 0"):
        find_voids(tiny_model, TEXT, alpha=alpha)


def test_other_impossible_settings_are_refused(tiny_model: LoadedModel):
    for options, message in [
        ({"phases": ("decode",)}, "phases"),
        ({"phases": "pp"}, "phases"),
        ({"phases": ()}, "phases"),
        ({"change": "squared"}, "change=squared"),
        ({"max_new_tokens": 0}, "max_new_tokens=0"),
    ]:
        with pytest.raises(UserError, match=message):
            find_voids(tiny_model, TEXT, **options)
    with pytest.raises(UserError, match="batch_size=0"):
        find_voids_many(tiny_model, [TEXT], batch_size=0)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_prompt_is_refused(tiny_model: LoadedModel, text):
    with pytest.raises(UserError, match="empty prompt"):
        find_voids(tiny_model, text)


@pytest.mark.parametrize(("length", "phases", "room"), [(65, ("pp",), 64), (64, ("pp", "rg"), 63)])
def test_a_prompt_that_the_context_does_not_hold_is_refused(tiny_model: LoadedModel, length, phases, room):
    model = replace(tiny_model, hf=tiny("gpt2", vocab_size=259), num_layers=4)
    with pytest.raises(UserError, match=f"the text has a prompt of {length} tokens .* leaves room for {room}:"):
        find_voids(model, "x" * length, phases=phases)
    fits = find_voids(model, "x" * (length - 1), phases=phases)
    assert len(fits.pp) == length - 1 and len(fits.rg) == ("rg" in phases)


def test_an_answer_is_as_long_as_asked_for_else_as_the_task_allows(tiny_model: LoadedModel):
    stock, sample = Stock(tiny_model), load_task("arithmetic_short", limit=1, chat_template=False)[0]
    own = stock.encode(sample).max_new_tokens
    bounds = [encode(stock, asked, most).max_new_tokens for asked in (sample, TEXT) for most in (own - 1, None)]
    assert bounds == [own - 1, own, own - 1, 16]
