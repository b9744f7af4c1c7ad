"""The defects of the released evaluation, one by one."""

import numpy as np
import pytest
import torch
from void_defects import sampler, with_gold_last, with_second_bos

from cola_search.errors import UserError
from cola_search.model.loading import LoadedModel
from cola_search.model.stock import Encoded
from cola_search.tasks.load import load_task


def test_sampling_follows_the_temperature_and_cuts_the_tail():
    logits = torch.log(torch.tensor([0.02, 0.6, 0.3, 0.08]))
    choose = sampler(["a"], seed=0)
    drawn = np.bincount([choose(0, logits) for _ in range(2000)], minlength=4) / 2000
    sharpened = np.array([0.6, 0.3]) ** (1 / 0.6)
    assert drawn[0] == drawn[3] == 0
    assert drawn[1] == pytest.approx(sharpened[0] / sharpened.sum(), abs=0.04)


def test_a_samples_draws_do_not_depend_on_the_others_in_its_batch():
    logits = torch.zeros(50)
    alone, second = sampler(["b"], seed=1), sampler(["a", "b"], seed=1)
    assert [alone(0, logits) for _ in range(5)] == [second(1, logits) for _ in range(5)]
    other = sampler(["b"], seed=2)
    assert [other(0, logits) for _ in range(5)] != [sampler(["b"], seed=1)(0, logits) for _ in range(5)]


def test_the_right_option_is_moved_to_the_end_and_judged_there():
    sample = load_task("mmlu_anatomy", limit=1)[0]
    moved = with_gold_last(sample)
    assert isinstance(sample.gold, int) and sample.gold != 3 == moved.gold
    assert moved.doc["choices"][3] == sample.doc["choices"][sample.gold]
    assert sorted(moved.doc["choices"]) == sorted(sample.doc["choices"])
    assert f"D. {moved.doc['choices'][3]}" in moved.requests[0].args[0]
    assert moved.verdict([(-1.0, False)] * 3 + [(-0.5, True)])
    assert not moved.verdict([(-0.1, True)] + [(-1.0, False)] * 3)


def test_a_task_without_listed_options_has_no_gold_to_move():
    with pytest.raises(UserError, match="gold_last"):
        with_gold_last(load_task("boolq", limit=1)[0])


def test_a_second_bos_needs_a_tokenizer_that_adds_the_first(tiny_model: LoadedModel):
    encoded = Encoded([[1, 5], [1, 6]], [[7], [8]], [])
    with pytest.raises(UserError, match="double_bos"):
        with_second_bos(encoded, tiny_model.tokenizer)

    class Adds:
        bos_token_id = 1

        def __call__(self, text):
            return {"input_ids": [1, 40]}

    assert with_second_bos(encoded, Adds()).contexts == [[1, 1, 5], [1, 1, 6]]
