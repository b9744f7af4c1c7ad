"""The dataclasses of a run's settings: their defaults, what they refuse, and that config.yaml holds all of them."""

import pytest
import yaml

from cola_search.config import compose_settings
from cola_search.errors import UserError
from cola_search.schema import build
from cola_search.settings import Settings


def test_the_dataclass_has_the_values_of_search_partial() -> None:
    """The comment of SearchSettings says so: the other files of conf/search name only what differs from it."""
    settings = compose_settings(["search=partial"])
    assert settings.search == type(settings.search)()


def test_the_other_groups_default_to_their_dataclasses() -> None:
    settings = compose_settings()
    assert settings.engine == type(settings.engine)()
    assert settings.cluster == type(settings.cluster)()


def test_settings_come_back_from_the_config_file_that_a_run_writes() -> None:
    settings = compose_settings(["prior=voids", "engine.memory=2GB"])
    assert build(Settings, yaml.safe_load(yaml.safe_dump(settings.as_dict()))) == settings


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("samples=0", r"samples=0 must be at least 1"),
        ("seed=-1", r"seed=-1 must not be negative"),
        ("run_dir=''", r"run_dir is empty"),
        ("prior=learnt", r"prior=learnt needs prior\.records"),
        ("prior.floor=2", r"prior\.floor=2\.0 must lie in 0 to 1"),
        ("prior.strength=nan", r"prior\.strength=nan must be a finite number"),
        ("prior.strength=0", r"prior\.strength=0\.0 must be a finite number above 0"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_its_key(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compose_settings([override])
