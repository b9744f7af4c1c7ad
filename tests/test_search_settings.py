import math
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from cola_search.errors import UserError
from cola_search.search_settings import SearchSettings

CONF = Path(__file__).parents[1] / "conf" / "search"
FILES = sorted(CONF.glob("*.yaml"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("algorithm", "magic"),
        ("space", "whole"),
        ("selection", "ucb"),
        ("reward", "none"),
        ("backup", "max"),
        ("visit_total", "all"),
        ("stop", "soon"),
        ("simulations", 0),
        ("wave", 0),
        ("c", -1.0),
        ("c", math.nan),
        ("length_penalty", math.inf),
        ("max_length", 0.9),
        ("min_length", 0),
        ("max_edits", 0),
        ("max_layer_executions", 0),
        ("hazard", 1.0),
        ("hazard", -0.1),
        ("skip_share", 1.1),
        ("random_child", 2.0),
        ("temperature", -1.0),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_key(key: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"^search\.{key}="):
        SearchSettings(**{key: value})  # type: ignore[arg-type]


def test_the_length_cap_is_a_multiple_of_the_model() -> None:
    assert SearchSettings(max_length=1.3).longest(30) == 39
    assert SearchSettings(max_length=1.1).longest(10) == 11  # 11.000000000000002 as a float


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_search_file_is_valid_and_says_its_purpose_source_and_what_was_left_open(file: Path) -> None:
    text = file.read_text()
    SearchSettings(**yaml.safe_load(text))
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    assert text.startswith("# Purpose: ")
    assert "# Source: " in head
    assert "Left open" in head or file.stem in ("partial", "edits", "random")


def test_the_defaults_are_those_of_the_default_file_which_names_every_key() -> None:
    values = yaml.safe_load((CONF / "partial.yaml").read_text())
    assert SearchSettings(**values) == SearchSettings()
    assert set(values) == {field.name for field in fields(SearchSettings)}


def test_the_published_settings_are_there() -> None:
    names = {file.stem for file in FILES}
    assert names >= {
        "partial",
        "edits",
        "random",
        "hill_climbing",
        "greedy",
        "beam",
        "cola",
        "drllm",
        "drllm_released",
        "repolar",
    }
    cola = SearchSettings(**yaml.safe_load((CONF / "cola.yaml").read_text()))
    assert (cola.simulations, cola.length_penalty, cola.random_child, cola.max_block, cola.max_extra_runs) == (
        200,
        5,
        0.1,
        4,
        4,
    )
    drllm = SearchSettings(**yaml.safe_load((CONF / "drllm.yaml").read_text()))
    assert (drllm.simulations, drllm.c, drllm.length_penalty, drllm.max_block, drllm.max_repeat_block) == (
        50,
        1.8,
        3,
        2,
        1,
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("space", "partial"), ("hazard", 0.2), ("skip_share", 0.5), ("max_block", 4), ("max_repeat_block", None),
        ("max_extra_runs", 2), ("max_length", 1.0), ("min_length", 20), ("max_edits", 1), ("nested", False),
    ],
)  # fmt: skip
def test_the_released_walk_refuses_what_it_cannot_obey(key: str, value: object) -> None:
    values = yaml.safe_load((CONF / "drllm_released.yaml").read_text())
    SearchSettings(**values | {"stop": "none", "simulations": 9, "max_layer_executions": 50.0, "wave": 1})
    with pytest.raises(UserError, match=rf"^search\.{key}=.*search=drllm_released.*choose another"):
        SearchSettings(**values | {key: value})


def test_caps_are_checked_against_the_model() -> None:
    SearchSettings(min_length=30).check_fits(30)
    with pytest.raises(UserError, match=r"^search\.min_length=31 is above the 30 layers of the model: lower it\."):
        SearchSettings(min_length=31).check_fits(30)
