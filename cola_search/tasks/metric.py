"""Which of lm-eval's metrics decides, and that it says 0 or 1 of every item."""

import ast
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from lm_eval.api.registry import get_aggregation
from lm_eval.api.task import ConfigurableTask

from cola_search.errors import UserError

_PROBE = "The answer is 1."  # a response that every extraction can be run on
_PROBED_DOCS = 3
_NO_VALUE = object()


@dataclass(frozen=True)
class Metric:
    """A metric of lm-eval and the filter in front of it, written "acc_norm" or "exact_match,flexible-extract"."""

    name: str
    filter: str

    def __str__(self) -> str:
        return self.name if self.filter == "none" else f"{self.name},{self.filter}"


def choose(task: Any, wanted: str | None) -> Metric:
    """The metric that the user named, else the task's first one that is 0 or 1 per item, under the task's first filter.

    Raises UserError when the task has no such metric or filter, or only metrics that are not decided item by item.
    """
    name, _, filter_name = (wanted or "").partition(",")
    filters = [ensemble.name for ensemble in task._filters]
    if filter_name and filter_name not in filters:
        raise UserError(
            f"task.metric={wanted}: {task.config.task} has no filter {filter_name}; it has {', '.join(filters)}."
        )
    metrics = list(task.aggregation())
    if name and name not in metrics:
        raise UserError(f"task.metric={wanted}: {task.config.task} has no metric {name}; it has {', '.join(metrics)}.")
    fit = [m for m in ([name] if name else metrics) if _is_per_item(task, m)]
    if not fit:
        raise UserError(
            f"task.name={task.config.task}: its metric {', '.join([name] if name else metrics)} is not right or wrong "
            "item by item, which a search needs; choose another task or metric (task.metric)."
        )
    return Metric(fit[0], filter_name or filters[0])


def as_verdict(value: Any) -> bool | None:
    """True or False if a metric's value is 1 or 0, else None."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, Real) and float(value) in (0.0, 1.0):
        return bool(value)
    return None


def option_values(choices: list[str], metric: str, responses: list[tuple[float, bool]]) -> list[float]:
    """The score of each option [options] as the metric compares them, in nats (per character or byte if normalised).

    The same arithmetic as lm-eval's `process_results`, so that ties and rounding fall the same way.
    """
    scores = np.array([logprob for logprob, _ in responses[: len(choices)]])
    if metric == "acc_mutual_info":
        scores = scores - np.array([logprob for logprob, _ in responses[len(choices) :]])
    return [float(score) for score in scores / np.array(option_lengths(choices, metric))]


def probed_docs(task: Any) -> Iterator[dict[str, Any]]:
    """The first items, on which a metric is tried."""
    return itertools.islice(task.task_docs if isinstance(task, ConfigurableTask) else task.eval_docs, _PROBED_DOCS)


def verdicts_by_best(task: Any, doc: dict[str, Any], metric: str, options: int) -> list[bool | None]:
    """What the metric says when each option in turn is by far the likeliest, but not what greedy decoding would write."""
    without_question = options if "acc_mutual_info" in task.aggregation() else 0
    even = [(-1.0, False)] * without_question
    tried = [[(-0.01 if i == best else -999.0, False) for i in range(options)] for best in range(options)]
    return [as_verdict(_value(task, doc, metric, [*responses, *even])) for responses in tried]


def option_lengths(choices: list[str], metric: str) -> list[float]:
    """What the metric divides the log-probability of each option by [options]: its characters, its bytes, or 1."""
    match metric:
        case "acc_norm":
            return [float(len(choice)) for choice in choices]
        case "acc_bytes":
            return [float(len(choice.encode("utf-8"))) for choice in choices]
        case _:
            return [1.0] * len(choices)


def _is_per_item(task: Any, metric: str) -> bool:
    """Whether a metric is the mean of zeros and ones, tried on the first items with made-up responses."""
    if task.aggregation().get(metric) is not get_aggregation("mean"):
        return False
    tried = (_value(task, doc, metric, responses) for doc in probed_docs(task) for responses in _made_up(task, doc))
    return all(value is _NO_VALUE or as_verdict(value) is not None for value in tried)


def _value(task: Any, doc: dict[str, Any], metric: str, responses: list[Any]) -> Any:
    try:
        return task.process_results(doc, responses).get(metric)
    except Exception:  # a grader may refuse the made-up text; the real verdicts are checked one by one
        return _NO_VALUE


def _made_up(task: Any, doc: dict[str, Any]) -> list[list[Any]]:
    """Responses to one item among which a score by degrees (overlap, difference of log-probabilities) shows itself."""
    match task.OUTPUT_TYPE:
        case "multiple_choice":
            n = len(task.doc_to_choice(doc)) * (2 if "acc_mutual_info" in task.aggregation() else 1)
            falling = [(-1.37 - 0.61 * i, i == 0) for i in range(n)]
            return [falling, falling[::-1]]
        case "loglikelihood":
            return [[(-1.37, True)], [(-2.61, False)]]
        case _:
            return [[text] for text in (_PROBE, *_near_gold(task, doc))]


def _near_gold(task: Any, doc: dict[str, Any]) -> list[str]:
    """The right answer, its two halves, and the right answer with more behind it."""
    try:
        target = task.doc_to_target(doc)
        target = target[0] if isinstance(target, (list, tuple)) else target
        gold = str(task.doc_to_choice(doc)[target]) if isinstance(target, int) and task.config.doc_to_choice else target
    except Exception:  # a definition's own code, which may want other things of an item
        return []
    text, words = str(gold), str(gold).split()
    half = (len(words) + 1) // 2
    return [text, " ".join(words[:half]), " ".join(words[half:]), f"{text} and some more words", *_listed(text)]


def _listed(gold: str) -> list[str]:
    """A gold answer that is a dictionary of names and then of their scores (EQ-Bench), as a model would write it."""
    try:
        values = [str(value) for value in ast.literal_eval(gold).values()]
    except (ValueError, SyntaxError, AttributeError):
        return []
    return ["\n".join(map(": ".join, zip(values, values[len(values) // 2 :], strict=False)))]
