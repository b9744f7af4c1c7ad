"""The names of a sweep's jobs: of their folders, and as they are shown."""

from pathlib import Path

import pytest

from cola_search.job_names import job_folder, shown_name, shown_names


def test_a_job_is_named_by_what_makes_it_different_in_any_order() -> None:
    assert job_folder(["seed=1", "model=smollm2"]) == job_folder(["model=smollm2", "seed=1"]) == "model=smollm2,seed=1"


def test_a_folder_name_is_one_folder_whatever_the_value() -> None:
    name = job_folder(["model='pypi://A==1/b c'", "task=x"])
    assert "/" not in name and " " not in name and "'" not in name


def test_a_long_name_is_cut_and_stays_its_own() -> None:
    first, second = (job_folder([f"prior.records={'x' * 300}{end}"]) for end in "ab")
    assert first != second and max(len(first), len(second)) < 200


def test_a_job_of_nothing_but_defaults_has_a_name() -> None:
    assert job_folder(["run_dir=x", "cluster.replicas=2", "tracking=none"]) == "default"


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("./m_llama", "m_llama"),
        ("'/a/b c/'", "b c"),
        ("../m", "m"),
        ("owner/name", "owner/name"),
        ("smollm2", "smollm2"),
    ],
)
def test_a_model_is_shown_by_its_own_name_and_not_by_what_a_folder_makes_of_its_path(typed: str, name: str) -> None:
    settings = {"model.name": name, "seed": 1, "prior.records": "runs/a/records.jsonl"}
    folder = job_folder([f"model={typed}", "seed=1", "prior.records=runs/a/records.jsonl"])
    assert shown_name(folder, settings) == f"model={name},prior.records=runs/a/records.jsonl,seed=1"


def test_a_name_that_is_not_the_end_of_what_was_typed_leaves_it_as_it_is() -> None:
    """A file of conf/model has a name of the user's choice, and so has what is in it."""
    assert shown_name("model=my_gpt2,task=taught", {"model.name": "gpt2", "task.name": "arc_easy"}) == (
        "model=my_gpt2,task=taught"
    )


def test_jobs_that_would_be_shown_alike_or_have_no_settings_keep_the_names_of_their_folders(tmp_path: Path) -> None:
    names = {name: tmp_path / name for name in ("model=a-m", "model=b-m", "model=c-m")}
    for folder in list(names.values())[:2]:
        folder.mkdir()
        (folder / "config.yaml").write_text("model: {name: m}\n")
    assert shown_names(names) == list(names)
    assert shown_names({name: names[name] for name in ("model=a-m", "model=c-m")}) == ["model=m", "model=c-m"]
