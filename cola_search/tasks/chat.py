"""The chat template of a model, applied as lm-eval's Hugging Face model applies it, but with thinking switched off."""

from collections.abc import Callable
from typing import Any

from cola_search.errors import UserError

ChatTemplate = Callable[..., str]  # (messages, add_generation_prompt=...) -> prompt


def chat_template_of(tokenizer: Any, wanted: bool | str, model_name: str) -> ChatTemplate:
    """A function from messages to the prompt; `wanted` may name one of several templates.

    Raises UserError when the tokenizer has no such template.
    """
    template = getattr(tokenizer, "chat_template", None)
    if not template:
        raise UserError(
            f"task.chat_template={wanted}: the tokenizer of {model_name} has no chat template (a base model?); "
            "set task.chat_template=false."
        )
    if isinstance(wanted, str):
        if not isinstance(template, dict) or wanted not in template:
            known = ", ".join(template) if isinstance(template, dict) else "one, without a name: use true"
            raise UserError(
                f"task.chat_template={wanted}: the tokenizer of {model_name} has other templates ({known})."
            )
        template = template[wanted]
    elif isinstance(template, dict):
        template = template.get("default")

    def apply(messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return _apply(tokenizer, messages, add_generation_prompt, template)

    return apply


def _apply(tokenizer: Any, messages: list[dict[str, str]], add_generation_prompt: bool, template: str | None) -> str:
    """The prompt; a template that refuses a system message gets the messages without it, as in lm-eval."""
    import jinja2

    def render(turns: list[dict[str, str]]) -> str:
        return str(
            tokenizer.apply_chat_template(
                turns,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
                chat_template=template,
                enable_thinking=False,  # Qwen3 would spend the few tokens of an answer on it; other templates ignore it
            )
        )

    try:
        return render(messages)
    except jinja2.exceptions.TemplateError:
        return render([message for message in messages if message["role"] != "system"])
