"""The models and tasks that are made up from their names."""

import pytest

from cola_search.errors import UserError
from cola_search.hydra_source import AnyNameSource


def test_only_models_and_tasks_may_have_any_name() -> None:
    source = AnyNameSource("test", "cola-search-any://")
    assert source.is_config("model/org/name") and source.is_config("task/x")
    assert not source.is_config("prior/x") and not source.is_config("model/") and not source.is_group("model")


def test_a_made_up_model_is_checked_like_any_other() -> None:
    source = AnyNameSource("test", "cola-search-any://")
    assert source.load_config("model/org/name").config.hub_id == "org/name"
    with pytest.raises(UserError, match="model=nope is not a name"):
        source.load_config("model/nope")
