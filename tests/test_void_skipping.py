"""Skipping voids: readout and bypass against slow references, with and without a cache."""

import pytest
import torch
from families import tiny
from transformers import PreTrainedModel

from cola_search.errors import UserError
from cola_search.model.layer_watch import watch_layers
from cola_search.model.loading import LoadedModel
from cola_search.model.stock import Stock
from cola_search.model.stock_generation import generate_batch
from cola_search.model.surgery import apply_chain
from cola_search.model.void_skipping import Skipping, last_active, skip_voids
from cola_search.model.voids import judge_norms
from cola_search.tasks.load import load_task

TOKENS = torch.tensor([[5, 6, 7, 8, 9, 10, 11], [12, 13, 14, 15, 16, 17, 18]])
PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12, 13, 14], [20, 21, 22, 23, 24]]


def streams(hf: PreTrainedModel, tokens: torch.Tensor) -> torch.Tensor:
    """The residual stream [L + 1, B, T, d] of an untouched model."""

    class Keep:
        def start(self, call):
            self.kept = []

        def layer(self, index, hidden, output):
            self.kept += [hidden, output] if index == 0 else [output]

    keep = Keep()
    with torch.inference_mode(), watch_layers(hf, keep):
        hf(tokens, use_cache=False)
    return torch.stack(keep.kept)


@torch.inference_mode()
def slow_bypass(hf: PreTrainedModel, tokens: list[int], alpha: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [T, V] and voids [T, L] of a Llama-like model, one token and one layer at a time, without hooks or cache."""
    embedded = hf.model.embed_tokens(torch.tensor([tokens]))
    positions = torch.arange(len(tokens))[None]
    tables = hf.model.rotary_emb(embedded, positions)
    layers = hf.model.layers
    stream = [[embedded[0, t]] for t in range(len(tokens))]  # per token the stream before layer 0, 1, ...
    voids = torch.zeros(len(tokens), len(layers), dtype=torch.bool)
    for t in range(len(tokens)):
        moved: list[float] = []
        for index, layer in enumerate(layers):
            before = torch.stack([stream[s][index] for s in range(t + 1)])[None]
            mask = torch.full((t + 1, t + 1), float("-inf")).triu(1)[None, None]
            tables_here = tuple(table[:, : t + 1] for table in tables)
            out = layer(
                before, attention_mask=mask, position_embeddings=tables_here, position_ids=positions[:, : t + 1]
            )
            out = (out[0] if isinstance(out, tuple) else out)[0, t]
            change = float(out.norm() - before[0, t].norm())
            threshold = alpha * (max(moved) - min(moved)) if moved else 0.0
            moved.append(change)
            voids[t, index] = change < threshold
            stream[t].append(before[0, t] if voids[t, index] else out)
    final = torch.stack([stream[t][-1] for t in range(len(tokens))])[None]
    return hf.lm_head(hf.model.norm(final))[0], voids


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text"])
def test_readout_gives_exactly_the_head_of_each_tokens_last_active_layer(family):
    hf = tiny(family)
    states = streams(hf, TOKENS)
    voids, _ = judge_norms(torch.linalg.vector_norm(states, dim=-1).permute(1, 2, 0), 0.5)
    chosen = torch.gather(states, 0, last_active(voids)[None, ..., None].expand(1, *states.shape[1:]))[0]
    inner = hf.model if hasattr(hf, "model") else hf.transformer
    final_norm = inner.norm if hasattr(inner, "norm") else inner.ln_f
    with torch.inference_mode():
        direct = hf.lm_head(final_norm(chosen))
        plain = hf(TOKENS).logits
        with skip_voids(hf, 0.5, "readout", record=True) as skipping:
            skipped = hf(TOKENS).logits
    assert torch.equal(skipped, direct)
    assert not torch.equal(skipped, plain)
    assert torch.equal(skipping.passes[0], voids)


def test_a_token_without_any_active_layer_hands_over_its_embedding():
    skipping = Skipping(2, 0.8, "readout", ("pp",), "signed")
    skipping.start({})
    embedding, first, second = (
        torch.tensor([[[4.0]], [[1.0]]]),
        torch.tensor([[[3.0]], [[2.0]]]),
        torch.tensor([[[2.0]], [[1.0]]]),
    )
    assert skipping.layer(0, embedding, first) is None
    read = skipping.layer(1, first, second)
    assert read is not None and read.flatten().tolist() == [4.0, 2.0]


@pytest.mark.parametrize("family", ["llama", "qwen2", "mixtral"])
@pytest.mark.parametrize("alpha", [0.2, 0.6])
def test_bypass_is_that_of_a_slow_reference_token_by_token(family, alpha):
    hf = tiny(family, num_hidden_layers=6)
    with skip_voids(hf, alpha, "bypass", record=True) as skipping, torch.inference_mode():
        logits = hf(TOKENS).logits
    for i, tokens in enumerate(TOKENS.tolist()):
        expected, voids = slow_bypass(hf, tokens, alpha)
        assert torch.equal(skipping.passes[0][i], voids) and 0 < voids.float().mean() < 1
        torch.testing.assert_close(logits[i], expected, rtol=1e-3, atol=1e-3)


def test_the_two_ways_are_different_models():
    hf = tiny("llama", num_hidden_layers=6)
    logits = {}
    for how in ("readout", "bypass"):
        with skip_voids(hf, 0.5, how), torch.inference_mode():
            logits[how] = hf(TOKENS).logits
    assert not torch.allclose(logits["readout"], logits["bypass"], atol=1e-2)


@pytest.mark.parametrize("how", ["readout", "bypass"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3_next"])
def test_cached_generation_of_a_padded_batch_skips_as_one_pass_over_each_sequence(family, how):
    hf = tiny(family)
    with skip_voids(hf, 0.5, how, record=True) as skipping:
        answers = generate_batch(hf, PROMPTS, lambda i, tokens: len(tokens) == 4)
    cached = torch.cat(skipping.passes, dim=1)
    for i, (prompt, answer) in enumerate(zip(PROMPTS, answers, strict=True)):
        with skip_voids(hf, 0.5, how, record=True) as alone, torch.inference_mode():
            logits = hf(torch.tensor([prompt + answer]), use_cache=False).logits[0]
        assert answer == logits[len(prompt) - 1 : -1].argmax(-1).tolist()
        assert torch.equal(cached[i, 7 - len(prompt) :], alone.passes[0][0])


def test_generate_of_transformers_itself_is_skipped_too():
    hf = tiny("llama")
    tokens = TOKENS[:1]
    with skip_voids(hf, 0.5, "bypass"):
        generated = hf.generate(tokens, max_new_tokens=4, do_sample=False, eos_token_id=98)
        with torch.inference_mode():
            expected = hf(generated[:, :-1], use_cache=False).logits[0, 6:].argmax(-1)
    assert generated[0, 7:].tolist() == expected.tolist()


@pytest.mark.parametrize("how", ["readout", "bypass"])
@pytest.mark.parametrize(("family", "sizes"), [("llama", {}), ("mamba", {"state_size": 8})])
def test_only_the_chosen_phases_skip(how, family, sizes):
    hf = tiny(family, **sizes)
    skipped = {}
    for phases in (("pp",), ("rg",), ("pp", "rg")):
        with skip_voids(hf, 0.8, how, phases=phases, record=True) as skipping:
            generate_batch(hf, [PROMPTS[0]], lambda i, tokens: len(tokens) == 3)
        prompt, *answer = skipping.passes
        skipped[phases] = bool(prompt.any()), any(bool(voids.any()) for voids in answer)
    assert skipped == {("pp",): (True, False), ("rg",): (False, True), ("pp", "rg"): (True, True)}


def test_an_answer_scored_with_its_prompt_can_be_marked_as_response():
    hf = tiny("llama")
    response = torch.zeros(2, 7, dtype=torch.bool)
    response[0, 5:] = True
    with skip_voids(hf, 0.8, "bypass", phases=("rg",), record=True) as skipping, torch.inference_mode():
        skipping.response = response
        hf(TOKENS)
        hf(TOKENS)
    first, second = skipping.passes
    assert first[0, 5:].any() and not first[0, :5].any() and not first[1].any()
    assert not second.any()


def test_a_block_of_no_voids_is_the_untouched_model(tiny_model: LoadedModel):
    with torch.inference_mode():
        plain = tiny_model.hf(TOKENS).logits
        with skip_voids(tiny_model.hf, phases=("rg",)):
            inside = tiny_model.hf(TOKENS).logits
        after = tiny_model.hf(TOKENS).logits
    assert torch.equal(plain, inside) and torch.equal(plain, after)


def test_voids_are_skipped_at_the_positions_of_a_chain():
    hf = tiny("llama")
    with apply_chain(hf, (0, 1, 1, 3, 2)), skip_voids(hf, 0.5, record=True) as skipping, torch.inference_mode():
        hf(TOKENS)
    assert skipping.passes[0].shape == (2, 7, 5)


@pytest.mark.parametrize("how", ["readout", "bypass"])
def test_log_likelihood_scoring_by_lm_eval_is_skipped(smollm2: LoadedModel, how):
    sample = load_task("arc_easy", limit=1, model=smollm2)[0]
    stock = Stock(smollm2)
    encoded = stock.encode(sample)
    with skip_voids(smollm2.hf, 0.8, how):
        scored = stock.lm.loglikelihood(sample.requests[:1], disable_tqdm=True)[0][0]
        ids = torch.tensor([encoded.contexts[0] + encoded.continuations[0]])
        with torch.inference_mode():
            log_probs = smollm2.hf(ids).logits[0].log_softmax(-1)
    places = range(len(encoded.contexts[0]) - 1, ids.shape[1] - 1)
    assert scored == pytest.approx(sum(float(log_probs[p, ids[0, p + 1]]) for p in places), abs=1e-2)


def test_an_unknown_way_or_alpha_is_refused(tiny_model: LoadedModel):
    with pytest.raises(UserError, match="how=halt"), skip_voids(tiny_model.hf, how="halt"):
        pass
    with pytest.raises(UserError, match="alpha=2"), skip_voids(tiny_model.hf, 2):
        pass
