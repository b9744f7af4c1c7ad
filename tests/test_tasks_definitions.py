"""Where a task's definition is found."""

import re
from pathlib import Path

import pytest
from lm_eval.tasks._index import Kind, TaskIndex

from cola_search import wheels
from cola_search.errors import UserError
from cola_search.tasks import definitions


def test_a_task_with_a_file_of_its_name_is_found_without_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "lm_eval_index", lambda: pytest.fail("indexed"))
    entry, _ = definitions.find("arc_easy")
    assert entry.kind is Kind.TASK
    assert entry.yaml_path is not None and entry.yaml_path.name == "arc_easy.yaml"


@pytest.mark.parametrize(
    ("name", "kind"), [("boolq", Kind.TASK), ("mmlu", Kind.GROUP), ("ai2_arc", Kind.TAG), ("squadv2", Kind.PY_TASK)]
)
def test_every_kind_of_lm_eval_name_is_found(name: str, kind: Kind) -> None:
    entry, index = definitions.find(name)
    assert entry.kind is kind
    assert index[name] is entry


def test_our_own_protocols_come_first() -> None:
    for name in ("sciq", "dart_math_3", "cola_arc_challenge"):
        path = definitions.find(name)[0].yaml_path
        assert path is not None and path.parent == definitions.PROTOCOLS


def test_an_unknown_name_brings_its_near_matches() -> None:
    with pytest.raises(UserError, match=r"task.name=arc_esy .*did you mean arc_easy"):
        definitions.find("arc_esy")
    with pytest.raises(UserError, match=r"did you mean medqa_5options"):
        definitions.find("medqa")


def test_a_name_like_nothing_says_where_to_look() -> None:
    with pytest.raises(UserError, match=r"lm_eval ls tasks"):
        definitions.find("qqqqzzzz")


@pytest.mark.parametrize("name", ["tasks/mine.yaml", "./mine", "mine.yaml"])
def test_a_path_is_told_where_its_file_belongs(name: str) -> None:
    with pytest.raises(UserError, match=r"put the file into .*protocols and give that name"):
        definitions.find(name)


@pytest.mark.parametrize("name", ["putnam_axio", "minerva_mat", "humanevall", "noreval", "hendrycks_math_algebr"])
def test_a_task_that_would_be_refused_is_not_suggested(name: str) -> None:
    with pytest.raises(UserError) as caught:
        definitions.find(name)
    for other in re.findall(r"\w+(?=[,?])", str(caught.value).partition("did you mean")[2]):
        assert not definitions.runs_code(definitions.find(other)[0])


@pytest.mark.parametrize(
    "name", ["minerva_math", "minerva_math500", "minerva_math_algebra", "putnam_axiom", "score_robustness"]
)
def test_tasks_that_clash_with_hydra_are_refused_with_ours_instead(name: str) -> None:
    with pytest.raises(UserError, match=r"antlr 4.11.*math_level_1"):
        definitions.find(name)


def test_the_index_survives_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = definitions.lm_eval_folder() / "arc"
    monkeypatch.setattr(definitions, "lm_eval_folder", lambda: folder)
    monkeypatch.setattr(wheels, "cache_root", lambda: tmp_path)
    fresh = definitions.lm_eval_index.__wrapped__()
    monkeypatch.setattr(TaskIndex, "build", lambda *_: pytest.fail("indexed again"))
    cached = definitions.lm_eval_index.__wrapped__()
    assert {name: (e.kind, e.yaml_path, e.tags) for name, e in fresh.items()} == {
        name: (e.kind, e.yaml_path, e.tags) for name, e in cached.items()
    }
    assert cached["ai2_arc"].tags == {"arc_easy", "arc_challenge"}
