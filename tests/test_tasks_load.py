"""The entrance: settings, and whether the prompts fit the model."""

import copy
from typing import Any

import pytest
from task_data import arc_rows, fake_model, serve

from cola_search.errors import UserError
from cola_search.tasks.config import TaskConfig
from cola_search.tasks.load import check_fits, context_length, load_task


@pytest.fixture
def short(tiny_model: Any) -> Any:
    """A byte-level model that reads 60 tokens."""
    return fake_model(copy.deepcopy(tiny_model.tokenizer), context=60)


def arc_of(monkeypatch: pytest.MonkeyPatch, question: str) -> None:
    row = {**arc_rows(1)[0], "question": question}
    serve(monkeypatch, "allenai/ai2_arc", "ARC-Easy", test=[row])


def test_settings_can_be_a_configuration_or_keywords(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "allenai/ai2_arc", "ARC-Easy", test=arc_rows(4))
    by_config = load_task(TaskConfig("arc_easy", limit=3), metric="acc_norm")
    assert (len(by_config), by_config.metric.name) == (3, "acc_norm")
    with pytest.raises(UserError, match=r"task.limit=0"):
        load_task("arc_easy", limit=0)


@pytest.mark.parametrize(("letters", "fits"), [(35, True), (36, False)])
def test_a_prompt_with_its_answer_must_fit_the_context(
    monkeypatch: pytest.MonkeyPatch, short: Any, letters: int, fits: bool
) -> None:
    arc_of(monkeypatch, "x" * letters)  # "Question: " + x + "\nAnswer:" + " text 0A" is 26 bytes and the x
    if fits:
        load_task("arc_easy", model=short)
    else:
        with pytest.raises(UserError, match=r"item item-0 needs 61 tokens but fake reads 60"):
            load_task("arc_easy", model=short)


def test_room_for_the_generated_answer_is_needed_too(monkeypatch: pytest.MonkeyPatch, short: Any) -> None:
    rows = [{"id": "0", "question": "1 + 1 =", "choices": ["2"], "gold": 0}]
    serve(monkeypatch, "ai2/basic_skills", "arithmetic", validation=rows)
    task = load_task("arithmetic_short", chat_template=False).bind(short)
    prompt = task[0].requests[0].args[0]
    assert len(prompt) <= 60 < len(prompt) + 12
    with pytest.raises(UserError, match=rf"needs {len(prompt) + 12} tokens"):
        check_fits(task, short)


def test_only_the_items_that_are_asked_about_need_to_fit(monkeypatch: pytest.MonkeyPatch, short: Any) -> None:
    long_one = {**arc_rows(2)[1], "question": "x" * 99}
    serve(monkeypatch, "allenai/ai2_arc", "ARC-Easy", test=[arc_rows(1)[0], long_one])
    task = load_task("arc_easy")
    check_fits(task, short, ["item-0"])
    with pytest.raises(UserError, match=r"item item-1"):
        check_fits(task, short, ["item-0", "item-1"])


def test_short_prompts_are_not_tokenised(monkeypatch: pytest.MonkeyPatch) -> None:
    arc_of(monkeypatch, "x")

    def tokenise(text: str) -> None:
        pytest.fail("tokenised")

    check_fits(load_task("arc_easy"), fake_model(tokenise))


def test_characters_of_several_bytes_may_be_as_many_tokens(monkeypatch: pytest.MonkeyPatch, short: Any) -> None:
    arc_of(monkeypatch, "水" * 18)
    with pytest.raises(UserError, match="needs 79 tokens"):
        load_task("arc_easy", model=short)


def test_a_template_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(UserError, match=r"fake has no chat template"):
        load_task("arc_easy", limit=1, chat_template=True, model=fake_model())


def test_the_context_length_is_the_models_own(tiny_model: Any, short: Any) -> None:
    assert context_length(tiny_model) == 2048
    assert context_length(short) == 60
