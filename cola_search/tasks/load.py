"""From a task name to items, checked before anything expensive starts."""

import dataclasses
import heapq
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cola_search.errors import UserError
from cola_search.tasks.config import TaskConfig
from cola_search.tasks.task import OTHERS, Task

if TYPE_CHECKING:
    from cola_search.model.loading import LoadedModel

LONGEST = 64  # items whose prompts are made before a search
DEFAULT_MAX_GEN_TOKS = 256  # what lm-eval's Hugging Face model generates at most where a task says nothing


def load_task(task: str | TaskConfig, *, model: "LoadedModel | None" = None, **settings: Any) -> Task:
    """A benchmark by lm-eval's name or ours, from the wheels or the hub, as a sequence of items.

    `settings` are fields of TaskConfig: limit, split, metric, fewshot, chat_template and so on. With a model, the task
    is bound to it (chat template) and checked against it (`check_fits`).

    Raises UserError: unknown name, data that cannot be had, no item, a metric that is not 0 or 1 per item, a setting
    that does not fit the task, a prompt or template that does not fit the model.
    """
    config = dataclasses.replace(TaskConfig(task) if isinstance(task, str) else task, **settings)
    loaded = Task(config, None if model is None else (model.tokenizer, model.name))
    if model is not None:
        check_fits(loaded, model)
    return loaded


def task_of_run(config: TaskConfig, samples: int | None) -> Task:
    """The task of a run over its first items (None: all), with OTHERS of them at least: for its facts and its controls."""
    return load_task(config, limit=samples and max(samples, OTHERS))


def check_fits(task: Task, model: "LoadedModel", ids: Sequence[str] | None = None) -> None:
    """Raise UserError if a prompt of the task (or of the items `ids`), with its answer, is longer than the context.

    A replica asks for the longest items before it searches, and for each when it comes (`Stock.encode`). A token stands for at
    least one byte, so only texts with more bytes than the context has tokens are tokenised.
    """
    context = context_length(model)
    for sample in task if ids is None else map(task.__getitem__, ids):
        for request in sample.requests:
            prompt, rest = request.args[0], request.args[1]
            answer, room = (rest, -1) if isinstance(rest, str) else ("", _max_new_tokens(rest))  # the last is not read
            if len((prompt + answer).encode()) + room + 1 <= context:
                continue
            tokens = len(model.tokenizer(prompt + answer)["input_ids"]) + room
            if tokens > context:
                raise UserError(
                    f"task.name={task.name}: item {sample.id} needs {tokens} tokens but {model.name} reads {context}; "
                    "lower task.fewshot or samples, or take a model with a longer context."
                )


def check_longest_fit(task: Task, model: "LoadedModel", ids: Iterable[str]) -> None:
    """`check_fits` of those of the items with the longest documents: a replica makes the other prompts when it gets to them."""
    check_fits(task, model, heapq.nlargest(LONGEST, ids, key=task.prompt_length))


def context_length(model: "LoadedModel") -> int:
    """The number of tokens that a model reads, as lm-eval finds it."""
    from lm_eval.models.utils import resolve_max_length

    return int(resolve_max_length(model.hf.config, model.tokenizer))


def _max_new_tokens(generation: dict[str, Any]) -> int:
    names = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
    return next((int(generation[name]) for name in names if generation.get(name) is not None), DEFAULT_MAX_GEN_TOKS)
