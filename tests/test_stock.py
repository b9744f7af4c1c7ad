"""Requests as lm-eval tokenises them."""

from types import SimpleNamespace
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from cola_search.errors import UserError
from cola_search.model.answers import StopWatch
from cola_search.model.loading import LoadedModel
from cola_search.model.stock import Stock


def sample_of(kind: Any, *arguments: tuple) -> Any:
    requests = [Instance(request_type=kind, doc={}, arguments=one, idx=i) for i, one in enumerate(arguments)]
    return SimpleNamespace(id="item 7", requests=requests)


@pytest.mark.parametrize(
    ("pairs", "what"),
    [
        ([("abc", " de"), ("abc", ""), ("abc", " fg")], "continuation"),
        ([("abc", " de"), ("abc", "")], "continuation"),
        ([("", "")], "continuation"),
        ([("", "<bos>")], "continuation"),
        ([("  ", "de")], "context"),
    ],
)
def test_a_request_that_lm_eval_does_not_answer_is_refused_with_the_item_and_what_is_empty(
    tiny_model: LoadedModel, pairs: list, what: str
) -> None:
    with pytest.raises(UserError, match=f"^sample 'item 7' has a request whose {what} is empty"):
        Stock(tiny_model).encode(sample_of("loglikelihood", *pairs))


def test_an_empty_prompt_of_a_generation_is_refused(tiny_model: LoadedModel) -> None:
    with pytest.raises(UserError, match="whose context is empty"):
        Stock(tiny_model).encode(sample_of("generate_until", ("", {"until": ["\n"], "max_gen_toks": 4})))


def test_what_has_no_context_is_scored_after_the_prefix_token(tiny_model: LoadedModel) -> None:
    encoded = Stock(tiny_model).encode(sample_of("loglikelihood", ("", "de"), ("", "<bos>de")))
    letters = tiny_model.tokenizer.encode("de")
    assert (encoded.contexts, encoded.continuations) == ([[1], [1]], [letters, letters])


def test_an_end_that_is_spelt_out_in_ordinary_tokens_cuts_the_answer(tiny_model: LoadedModel) -> None:
    encoded = Stock(tiny_model).encode(sample_of("generate_until", ("abc", {"until": ["\n\n"], "max_gen_toks": 99})))
    tokens = [tiny_model.tokenizer.encode(letter)[0] for letter in "42<eos>7"]
    assert encoded.stops == ["\n\n", "<eos>"]
    assert StopWatch(None, encoded, tiny_model.tokenizer, tiny_model.hf).text(tokens) == "42"


def test_a_checkpoint_that_stops_at_strings_is_refused_for_lm_eval_cannot_generate_with_it(
    tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny_model.hf.generation_config, "stop_strings", ["x"])
    with pytest.raises(UserError, match=r"sets stop_strings.*generation_config\.json"):
        Stock(tiny_model).encode(sample_of("generate_until", ("abc", {"until": ["\n"], "max_gen_toks": 4})))


def test_what_else_a_task_asks_of_a_generation_is_kept(tiny_model: LoadedModel) -> None:
    asked = {"until": ["\n"], "max_new_tokens": 4, "temperature": 0.0, "num_beams": 3}
    encoded = Stock(tiny_model).encode(sample_of("generate_until", ("abc", asked)))
    assert encoded.max_new_tokens == 4
    assert encoded.gen_kwargs == {"do_sample": False, "temperature": 0.0, "num_beams": 3}


@pytest.mark.parametrize("asked", [{"do_sample": True}, {"temperature": 0.7}])
def test_a_task_that_samples_is_refused(tiny_model: LoadedModel, asked: dict) -> None:
    with pytest.raises(UserError, match="greedy"):
        Stock(tiny_model).encode(sample_of("generate_until", ("abc", {"until": ["\n"], **asked})))
