"""What lm-eval's task objects say of their items."""

from types import SimpleNamespace
from typing import Any

import pytest
from lm_eval.api.registry import get_aggregation

from cola_search.errors import UserError
from cola_search.tasks import items
from cola_search.tasks.config import TaskConfig


def part(output_type: str = "multiple_choice", **more: Any) -> Any:
    """A task object as far as its fitness goes."""
    config = SimpleNamespace(
        task="made_up", generation_kwargs=more.pop("generation", None), repeats=more.pop("repeats", 1)
    )
    return SimpleNamespace(OUTPUT_TYPE=output_type, config=config, **more)


def test_items_of_a_group_alternate() -> None:
    assert items.alternate([2, 1, 3]).tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [2, 1], [2, 2]]


def test_the_kind_is_that_of_the_requests() -> None:
    assert items.common_kind("t", [part("multiple_choice"), part("loglikelihood")]) == "loglikelihood"
    assert items.common_kind("t", [part("generate_until")]) == "generate_until"


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([part("loglikelihood_rolling")], "perplexity"),
        ([part(), part("generate_until")], "mixes"),
        ([part(MULTIMODAL=True)], "images"),
        ([part(UNSAFE_CODE=True)], "code"),
        ([part("generate_until", generation={"do_sample": True})], "samples its answers"),
        ([part("generate_until", repeats=64)], "samples its answers"),
    ],
)
def test_a_task_that_cannot_be_searched_is_refused_with_the_reason(parts: list[Any], reason: str) -> None:
    with pytest.raises(UserError, match=rf"task.name=t.*{reason}"):
        items.common_kind("t", parts)


def scoring(gold: int, **metrics: Any) -> Any:
    """A task object of one item with three options; its metrics are functions of the gold option and the responses."""
    return part(
        doc_to_choice=lambda doc: ["a", "bb", "ccc"],
        doc_to_target=lambda doc: gold,
        multiple_input=0,
        eval_docs=[{}],
        _filters=[SimpleNamespace(name="none")],
        aggregation=lambda: dict.fromkeys(metrics, get_aggregation("mean")),
        process_results=lambda doc, results: {name: float(rule(gold, results)) for name, rule in metrics.items()},
    )


def likeliest(gold: int, responses: list[tuple[float, bool]]) -> bool:
    return max(responses) == responses[gold]


def would_be_written(gold: int, responses: list[tuple[float, bool]]) -> bool:
    return responses[gold][1]


@pytest.mark.parametrize("gold", [0, 1, 2])
def test_options_are_judged_by_the_best_score_so_another_rule_is_refused(
    gold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "ConfigurableTask", SimpleNamespace)
    task = scoring(gold, acc=likeliest, exact_match=would_be_written)
    task.config.doc_to_choice = task.doc_to_choice
    task.task_docs = task.eval_docs
    assert items.common_metric(TaskConfig("t"), [task]).name == "acc"
    with pytest.raises(UserError, match=r"task\.metric=exact_match: made_up does not decide by its best-scored option"):
        items.common_metric(TaskConfig("t", metric="exact_match"), [task])


def test_the_question_shown_is_the_documents_own_wording() -> None:
    task = SimpleNamespace(doc_to_text=lambda doc: " the prompt ")
    assert items.question(task, {"question": " Why? ", "query": "other"}) == "Why?"
    assert items.question(task, {"question": 3}) == "the prompt"
