"""What lm-eval's task objects say of their items: kind, metric, documents, options, gold answers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from lm_eval.api.task import ConfigurableTask

from cola_search.errors import UserError
from cola_search.tasks import metric
from cola_search.tasks.config import TaskConfig

Doc = dict[str, Any]
Answer = tuple[list[str] | None, list[int | str]]
_QUESTION_KEYS = ("question", "problem", "Question", "question_stem", "query", "goal", "sentence", "input")
_LABEL_KEYS = ("label", "cop")  # below zero where the answers are held back; "answer" may be any number
_KINDS = {"multiple_choice": "loglikelihood", "loglikelihood": "loglikelihood", "generate_until": "generate_until"}


def common_kind(name: str, parts: Sequence[Any]) -> str:
    """ "loglikelihood" or "generate_until", the kind of request that all parts make; raises UserError for any other."""
    for part in parts:
        _refuse_unfit(name, part)
    kinds = {_KINDS[part.OUTPUT_TYPE] for part in parts}
    if len(kinds) > 1:
        raise UserError(f"task.name={name} mixes scored and generated answers; choose one of its members instead.")
    return kinds.pop()


def common_metric(config: TaskConfig, parts: Sequence[Any]) -> metric.Metric:
    """The metric that decides in all parts; raises UserError where there is none or they differ."""
    chosen = {metric.choose(part, config.metric) for part in parts}
    if len(chosen) > 1:
        known = ", ".join(sorted(map(str, chosen)))
        raise UserError(f"task.name={config.name} has several main metrics ({known}); choose one with task.metric.")
    (decides,) = chosen
    for part in parts:
        _refuse_unless_best_wins(part, decides.name)
    return decides


def _refuse_unless_best_wins(part: Any, name: str) -> None:
    """Raise UserError for a metric that is not whether the best-scored option is right, as chains are judged (scoring.py).

    Such as lm-eval's exact_match of options, which is whether greedy decoding would write the right one.
    """
    if part.OUTPUT_TYPE != "multiple_choice":
        return
    for doc in metric.probed_docs(part):
        choices, golds = answer(part, doc)
        for chosen, verdict in enumerate(metric.verdicts_by_best(part, doc, name, len(choices or []))):
            if verdict is not None and verdict != (chosen in golds):
                raise UserError(
                    f"task.metric={name}: {part.config.task} does not decide by its best-scored option, as chains are judged; "
                    "choose another metric or task."
                )


def docs_of(part: Any) -> Sequence[Doc]:
    """The documents that lm-eval evaluates, in its order."""
    return part.task_docs if isinstance(part, ConfigurableTask) else list(part.eval_docs)


def alternate(lengths: Sequence[int]) -> np.ndarray:
    """(part, index) of every item, int32 `[n, 2]`: the first of each part, then the second of each, and so on."""
    part = np.repeat(np.arange(len(lengths)), lengths)
    index = np.concatenate([np.arange(length) for length in lengths])
    return np.stack([part, index], axis=1)[np.lexsort((part, index))].astype(np.int32)


def answer(part: Any, doc: Doc) -> Answer:
    """The options (None if there are none) and the right answers: indices of options (-1: none of them), or one text.

    Raises UserError where the definition can make nothing of the item's label, as of an empty one.
    """
    try:
        return _answer(part, doc)
    except Exception as error:  # a definition's own code
        raise unlabelled(_test_split(part), part.config.task, repr(error)) from error


def refuse_unlabelled(part: Any, doc: Doc, known: Answer) -> None:
    """Raise UserError for an item with options and no right one, as splits have them whose answers are held back."""
    choices, golds = known
    if choices is None:
        return
    label = next((doc[key] for key in _LABEL_KEYS if key in doc), None)
    if label in (-1, "-1", "") or not all(0 <= gold < len(choices) for gold in golds if isinstance(gold, int)):
        raise unlabelled(_test_split(part), part.config.task, "" if label is None else f"label {label}")


def _answer(part: Any, doc: Doc) -> Answer:
    if part.OUTPUT_TYPE == "loglikelihood":
        return None, [str(part.doc_to_target(doc))]
    if not isinstance(part, ConfigurableTask) or part.config.doc_to_choice is None:
        target = part.doc_to_target(doc)
        return None, [str(target[0] if isinstance(target, list) and target else target)]
    choices = [str(choice) for choice in part.doc_to_choice(doc)]
    target = part.doc_to_text(doc) if part.multiple_input else part.doc_to_target(doc)
    targets = target if isinstance(target, list) else [target]
    return choices, [t if isinstance(t, int) else choices.index(t) if t in choices else -1 for t in targets]


def unlabelled(split: str | None, task: str, told: str) -> UserError:
    """What is raised for a split that has an item without a right answer; `told`: what it has instead, if known."""
    instead = f" ({told})" if told else ""
    return UserError(
        f"task.split={split}: {task} has an item without a right answer{instead}; choose a split with answers."
    )


def _test_split(part: Any) -> str | None:
    return getattr(part.config, "test_split", None)


def question(part: Any, doc: Doc) -> str:
    """The question for display: the document's own wording where it has one, else the prompt's."""
    for key in _QUESTION_KEYS:
        if isinstance(doc.get(key), str) and doc[key].strip():
            return str(doc[key]).strip()
    return str(part.doc_to_text(doc)).strip()


def prompt_text(part: Any, doc: Doc) -> str:
    """The item's own part of the prompt, without examples, system line and chat template."""
    text = part.doc_to_text(doc)
    return text if isinstance(text, str) else " ".join(map(str, part.doc_to_choice(doc)))


def prompt_settings(part: Any) -> tuple[Any, ...]:
    """What a definition says about its prompts beside the text of the items."""
    keys = ("description", "num_fewshot", "fewshot_split", "target_delimiter", "fewshot_delimiter", "gen_prefix")
    values = (getattr(part.config, key, None) for key in (*keys, "generation_kwargs"))
    return tuple(getattr(value, "__qualname__", value) for value in values)


def _refuse_unfit(name: str, part: Any) -> None:
    task = part.config.task if hasattr(part, "config") else name
    if part.OUTPUT_TYPE not in _KINDS:
        raise UserError(f"task.name={name}: {task} measures perplexity, which is not right or wrong item by item.")
    if getattr(part, "MULTIMODAL", False):
        raise UserError(f"task.name={name}: {task} shows images or plays sound; only text tasks can be searched.")
    if getattr(part, "UNSAFE_CODE", False):
        raise UserError(f"task.name={name}: {task} runs code that the model wrote, which is not done here.")
    sampled = (part.config.generation_kwargs or {}).get("do_sample", False) if hasattr(part, "config") else False
    if sampled or (getattr(part.config, "repeats", 1) or 1) > 1:
        raise UserError(f"task.name={name}: {task} samples its answers; a search needs one greedy answer an item.")
