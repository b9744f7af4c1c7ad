"""What may be said about a task."""

from typing import Any

import pytest

from cola_search.errors import UserError
from cola_search.tasks.config import TaskConfig


@pytest.mark.parametrize(
    ("field", "value"), [("name", " "), ("source", "ftp"), ("limit", 0), ("limit", -3), ("fewshot", -1)]
)
def test_a_bad_value_is_refused_by_its_key(field: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"task.{field}"):
        TaskConfig(**{field: value})


def test_the_default_task_is_arc_easy_as_lm_eval_defines_it() -> None:
    assert TaskConfig() == TaskConfig("arc_easy", "auto", None, None, None, None, False, 1234, None, None)
