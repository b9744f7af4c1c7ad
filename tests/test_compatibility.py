"""What the engine can follow: settings of a generation, and rotary frequencies that change with the length."""

import math

import pytest
import torch
from families import tiny

from cola_search.model.anatomy import Anatomy
from cola_search.model.compatibility import rope_limit, trial_failure, unfollowed_by_task
from cola_search.model.executor import Executor

LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [8.0] * 4,
    "original_max_position_embeddings": 32,
    "factor": 4.0,
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}


def test_a_family_has_a_rope_limit_only_where_its_frequencies_follow_the_length() -> None:
    assert rope_limit(tiny("llama")) == math.inf
    assert rope_limit(tiny("gpt2")) == math.inf
    assert rope_limit(tiny("gemma3_text")) == math.inf
    assert rope_limit(tiny("phi3", rope_parameters=LONGROPE, original_max_position_embeddings=32)) == 32
    assert rope_limit(tiny("llama", rope_parameters=DYNAMIC)) == 64


def test_a_rope_of_one_kind_of_layer_counts_too() -> None:
    model = tiny("gemma3_text")
    model.config.rope_parameters = {"full_attention": LONGROPE, "sliding_attention": {"rope_type": "default"}}
    assert rope_limit(model) == 32


@pytest.mark.parametrize("name", ["max_length", "repetition_penalty", "num_beams", "max_time"])
def test_what_a_task_asks_and_the_engine_does_not_follow_is_named(name: str) -> None:
    assert unfollowed_by_task({"do_sample": False, name: 4}) == f"the task's generation_kwargs set {name}"


def test_a_task_that_asks_for_greedy_tokens_in_other_words_is_followed() -> None:
    asked = {"do_sample": False, "temperature": 0.0, "top_p": 0.9, "num_beams": 1, "repetition_penalty": 1.0}
    assert unfollowed_by_task(asked) is None


def test_a_model_that_overflows_where_it_is_tried_is_told_from_a_family_that_cannot_ride() -> None:
    model = tiny("llama").half()
    with torch.no_grad():
        model.model.embed_tokens.weight.fill_(65000)
        model.model.layers[2].mlp.down_proj.weight.mul_(10_000)
    reason = trial_failure(Executor(Anatomy(model), 2_000_000), model)
    assert reason is not None and "numbers overflow float16" in reason and "model.dtype" in reason


def test_a_memory_with_room_for_one_item_that_generates_but_not_for_two_is_enough() -> None:
    model = tiny("llama")
    anatomy = Anatomy(model)
    row_bytes = 2 * 4 * (anatomy.width + 2 * 2 * 8)  # of states, keys and values in float32, and as much for the slots
    for rows in (
        *range(48, 57),
        80,
    ):  # of three prompts of 8 tokens for each share, up to a prompt and its chain of 4 layers
        executor = Executor(anatomy, rows * row_bytes, samples_in_flight=2, keep_kv=True)
        assert trial_failure(executor, model) is None
        assert executor.mixes is (rows == 80) and executor.pool.used_rows == 0
