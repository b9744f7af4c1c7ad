"""The chat template, as lm-eval's Hugging Face model applies it."""

import copy
from types import SimpleNamespace
from typing import Any

import pytest
from lm_eval.models.huggingface import HFLM

from cola_search.errors import UserError
from cola_search.tasks.chat import chat_template_of

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]


def hflm_prompt(tokenizer: Any, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    """What lm-eval makes of the messages."""
    lm = SimpleNamespace(tokenizer=tokenizer, chat_template_args={})
    return str(HFLM.apply_chat_template(lm, messages, add_generation_prompt))


@pytest.mark.parametrize("model_name", ["tiny_model", "smollm2"])
def test_prompts_are_those_of_lm_eval(model_name: str, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(model_name).tokenizer
    apply = chat_template_of(tokenizer, True, model_name)
    assert apply(MESSAGES) == hflm_prompt(tokenizer, MESSAGES, True)
    begun = [*MESSAGES, {"role": "assistant", "content": "2 + 2 ="}]
    if model_name == "smollm2":  # the tiny template cannot leave a turn open
        assert apply(begun, add_generation_prompt=False) == hflm_prompt(tokenizer, begun, False)
        assert apply(begun, add_generation_prompt=False).endswith("2 + 2 =")


def test_a_tokenizer_without_a_template_is_refused() -> None:
    with pytest.raises(UserError, match=r"task.chat_template=True.*gemma has no chat template"):
        chat_template_of(SimpleNamespace(chat_template=None), True, "gemma")


def test_a_template_of_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"default, tool_use"):
        chat_template_of(SimpleNamespace(chat_template={"default": "d", "tool_use": "t"}), "rag", "m")
    with pytest.raises(UserError, match=r"without a name"):
        chat_template_of(SimpleNamespace(chat_template="only"), "rag", "m")


def test_one_of_several_templates_is_chosen_by_name() -> None:
    class Tokenizer:
        def __init__(self) -> None:
            self.chat_template = {"default": "d", "tool_use": "t"}

        def apply_chat_template(self, messages: Any, chat_template: str, **_: Any) -> str:
            return chat_template

    assert chat_template_of(Tokenizer(), "tool_use", "m")(MESSAGES) == "t"
    assert chat_template_of(Tokenizer(), True, "m")(MESSAGES) == "d"


def test_a_template_that_refuses_a_system_message_goes_without(tiny_model: Any) -> None:
    tokenizer = copy.deepcopy(tiny_model.tokenizer)
    tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ messages[0].content }}"
    )
    assert chat_template_of(tokenizer, True, "m")(MESSAGES) == "2 + 2?"


def test_a_model_that_can_think_first_is_told_not_to(tiny_model: Any) -> None:
    tokenizer = copy.deepcopy(tiny_model.tokenizer)
    tokenizer.chat_template = (  # the end of Qwen3's
        "{% for m in messages %}<|im_start|>{{m.role}}\n{{m.content}}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
        "{% if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
    )
    assert chat_template_of(tokenizer, True, "qwen3")(MESSAGES).endswith("assistant\n<think>\n\n</think>\n\n")
