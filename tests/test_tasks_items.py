"""What lm-eval's task objects say of their items."""

from types import SimpleNamespace
from typing import Any

import pytest

from cola_search.errors import UserError
from cola_search.tasks import items


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


def test_the_question_shown_is_the_documents_own_wording() -> None:
    task = SimpleNamespace(doc_to_text=lambda doc: " the prompt ")
    assert items.question(task, {"question": " Why? ", "query": "other"}) == "Why?"
    assert items.question(task, {"question": 3}) == "the prompt"
