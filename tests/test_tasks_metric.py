"""Which metric decides, and its scores per option."""

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from lm_eval.api.registry import get_aggregation

from cola_search.errors import UserError
from cola_search.tasks import metric


def lm_eval_task(filters: tuple[str, ...] = ("none",), **values: Any) -> Any:
    """A task whose metrics have these values on every item; a value may be (value, name of the aggregation)."""
    pairs = {name: value if isinstance(value, tuple) else (value, "mean") for name, value in values.items()}
    return SimpleNamespace(
        config=SimpleNamespace(task="made_up"),
        OUTPUT_TYPE="generate_until",
        eval_docs=[{}],
        _filters=[SimpleNamespace(name=name) for name in filters],
        aggregation=lambda: {name: get_aggregation(aggregation) for name, (_, aggregation) in pairs.items()},
        process_results=lambda doc, results: {name: value for name, (value, _) in pairs.items()},
    )


def test_the_first_metric_of_zeros_and_ones_decides() -> None:
    task = lm_eval_task(perplexity=(3.2, "perplexity"), bleu=0.37, acc=1.0, acc_norm=0.0)
    assert str(metric.choose(task, None)) == "acc"


def test_a_metric_and_a_filter_can_be_chosen() -> None:
    task = lm_eval_task(("strict-match", "flexible-extract"), acc=1.0, exact_match=0.0)
    assert str(metric.choose(task, None)) == "acc,strict-match"
    assert str(metric.choose(task, "exact_match,flexible-extract")) == "exact_match,flexible-extract"


@pytest.mark.parametrize(
    "values", [{"rouge": 0.4}, {"f1": (1.0, "f1")}, {"ppl": (1.0, "perplexity")}, {"loose": [1, 0]}]
)
def test_a_task_whose_metric_is_not_per_item_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"not right or wrong item by item"):
        metric.choose(lm_eval_task(**values), None)


def generating(golds: list[str], score: Any) -> Any:
    """A task that grades generated text with `score(gold, text)`."""
    task = lm_eval_task(score=0.0)
    task.eval_docs = [{"gold": gold} for gold in golds]
    task.doc_to_target = lambda doc: doc["gold"]
    task.process_results = lambda doc, results: {"score": score(doc["gold"], results[0])}
    return task


def overlap(gold: str, text: str) -> float:
    """The share of the gold's words that the text has."""
    return len(set(gold.split()) & set(text.split())) / len(gold.split())


def precision(gold: str, text: str) -> float:
    """The share of the text's words that the gold has."""
    return len(set(gold.split()) & set(text.split())) / max(1, len(text.split()))


def emotions(gold: str, text: str) -> float:
    """As EQ-Bench: a score of 0 to 100 if all emotions are named with a number, else 0."""
    return 100.0 if re.findall(r"(\w+): (\d+)", text) == [("joy", "3"), ("fear", "5")] else 0.0


@pytest.mark.parametrize(
    ("golds", "score"),
    [
        (["Jane Austen"], overlap),
        (["Jane"], precision),
        (["Emma", "Emma", "Jane Austen"], overlap),
        (["{'emotion1': 'joy', 'emotion2': 'fear', 'score1': 3, 'score2': 5}"], emotions),
    ],
)
def test_a_score_by_degrees_shows_on_answers_that_are_near_the_gold(golds: list[str], score: Any) -> None:
    with pytest.raises(UserError, match=r"not right or wrong item by item"):
        metric.choose(generating(golds, score), None)
    assert metric.choose(generating(golds, lambda gold, text: float(gold == text)), None).name == "score"


def test_a_difference_of_log_probabilities_is_no_verdict() -> None:
    task = lm_eval_task(likelihood_diff=0.0, pct_stereotype=0.0)
    task.OUTPUT_TYPE, task.doc_to_choice = "multiple_choice", lambda doc: ["a b", "c d"]
    task.process_results = lambda doc, results: {
        "likelihood_diff": abs(results[0][0] - results[1][0]),
        "pct_stereotype": float(results[0][0] > results[1][0]),
    }
    assert metric.choose(task, None).name == "pct_stereotype"
    with pytest.raises(UserError, match=r"likelihood_diff is not right or wrong"):
        metric.choose(task, "likelihood_diff")


def test_a_metric_or_filter_that_the_task_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(UserError, match=r"task.metric=mcc.*it has acc, acc_norm"):
        metric.choose(lm_eval_task(acc=1.0, acc_norm=1.0), "mcc")
    with pytest.raises(UserError, match=r"no filter loose; it has none"):
        metric.choose(lm_eval_task(acc=1.0), "acc,loose")


def test_a_grader_that_fails_on_the_made_up_answer_is_not_held_against_the_task() -> None:
    def fail(doc: Any, results: Any) -> dict[str, float]:
        raise IndexError

    task = lm_eval_task(acc=1.0)
    task.process_results = fail
    assert metric.choose(task, None).name == "acc"


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (1, True),
        (0.0, False),
        (np.float64(1.0), True),
        (np.True_, True),
        (True, True),
        (0.5, None),
        ("1", None),
        (None, None),
    ],
)
def test_a_verdict_is_a_one_or_a_zero_and_nothing_else(value: Any, verdict: bool | None) -> None:
    assert metric.as_verdict(value) is verdict


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acc", [-6.0, -4.0]),
        ("acc_norm", [-3.0, -4 / 3]),
        ("acc_bytes", [-2.0, -4 / 3]),
        ("acc_mutual_info", [-5.0, -2.0]),
    ],
)
def test_options_are_compared_as_lm_eval_compares_them(name: str, expected: list[float]) -> None:
    responses = [(-6.0, False), (-4.0, True)] + ([(-1.0, False), (-2.0, False)] if name == "acc_mutual_info" else [])
    assert metric.option_values(["aé", "abc"], name, responses) == pytest.approx(expected)
