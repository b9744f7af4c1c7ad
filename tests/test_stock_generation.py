"""Stock cached generation of a batch."""

import pytest
import torch
from families import tiny

from cola_search.model.layer_watch import watch_layers
from cola_search.model.loading import LoadedModel
from cola_search.model.stock_generation import generate_batch
from cola_search.model.voids import NormRecorder, find_voids, prompt_pass

TEXT = "The capital of France is"
PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12, 13, 14], [20, 21, 22, 23, 24]]


@pytest.mark.parametrize("family", ["falcon_h1", "gemma3_text", "gpt2", "llama", "qwen3_next"])
def test_norms_of_cached_generation_are_those_of_one_pass_over_prompt_and_answer(family):
    hf = tiny(family)
    recorder, whole = NormRecorder(), NormRecorder()
    with watch_layers(hf, recorder):
        answers = generate_batch(hf, PROMPTS, lambda i, tokens: len(tokens) == 3 + i)
    with watch_layers(hf, whole):
        prompt_pass(hf, [prompt + answer for prompt, answer in zip(PROMPTS, answers, strict=True)])
    assert [len(answer) for answer in answers] == [3, 4, 5]
    cached = torch.cat(recorder.passes, dim=1)
    for i, (prompt, answer) in enumerate(zip(PROMPTS, answers, strict=True)):
        mine = cached[i, 7 - len(prompt) : 7 + len(answer)]
        torch.testing.assert_close(mine, whole.passes[0][i, : len(mine)], rtol=1e-4, atol=1e-4)


def test_a_penalty_in_the_generation_config_does_not_change_the_answer(tiny_model: LoadedModel):
    plain = find_voids(tiny_model, TEXT, max_new_tokens=6)
    tiny_model.hf.generation_config.repetition_penalty = 9.0
    try:
        assert find_voids(tiny_model, TEXT, max_new_tokens=6).response.tokens == plain.response.tokens
        assert tiny_model.hf.generation_config.repetition_penalty == 9.0
    finally:
        tiny_model.hf.generation_config.repetition_penalty = None


def test_the_tokens_are_those_that_are_chosen(tiny_model: LoadedModel):
    answers = generate_batch(
        tiny_model.hf,
        PROMPTS,
        lambda i, tokens: len(tokens) == 2,
        choose=lambda i, logits: 40 + i + int(logits.shape[0] < 0),
    )
    assert answers == [[40, 40], [41, 41], [42, 42]]
