"""The jobs of a sweep: how their folders are named and shown, and what these hold."""

import json
from pathlib import Path

import pytest

from cola_search.report.terminal import print_objectives
from cola_search.sweep import job_folder, objective_jobs, shown, shown_name, sweep_jobs


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
    for name in ("model=a-m", "model=b-m"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("model: {name: m}\n")
    assert list(shown(tmp_path, dict.fromkeys(("model=a-m", "model=b-m")))) == ["model=a-m", "model=b-m"]
    assert list(shown(tmp_path, dict.fromkeys(("model=a-m", "model=c-m")))) == ["model=m", "model=c-m"]


def test_jobs_that_sought_one_chain_or_a_menu_are_told_by_what_calibration_chose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = {"right": 5, "of": 10, "rate": 0.5}
    held = {"accuracy": [0.75, 0.6, 0.9], "difference": [0.25, 0.1, 0.4]}
    chosen = {"method": "greedy", "chain": "0-8", "length": 9, "held_out": held}
    one = {"base": base, "chosen": "greedy", "methods": [chosen, {"method": "voids", "chain": None, "held_out": None}]}
    arm = {
        "menu": "cover",
        "selector": "vote",
        "cost": 12.0,
        "rate": 0.625,
        "difference": 0.125,
        "chosen": [12.0],
        "difference_low": 0.01,
        "difference_high": 0.24,
    }
    results = {"seed=0": one, "seed=1": {**one, "chosen": None}, "seed=2": {"base": base, "rows": [arm]}}
    for name, result in results.items():
        (tmp_path / name).mkdir()
        file = "menu.json" if "rows" in result else "dataset.json"
        (tmp_path / name / file).write_text(json.dumps(result))
    assert objective_jobs(tmp_path) == results
    print_objectives(objective_jobs(tmp_path), "runs/x")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["seed=0", "greedy", "9", "50%", "75%", "+25.0", "(+10.0", "to", "+40.0)"] in lines
    assert ["seed=1", "nothing", "will", "do", "50%"] in lines
    assert ["seed=2", "cover,", "vote", "12.0", "50%", "62%", "+12.5", "(+1.0", "to", "+24.0)"] in lines


def test_a_job_with_a_local_model_is_shown_by_the_name_of_that_model(tmp_path: Path) -> None:
    (tmp_path / "model=.-m_llama").mkdir()
    (tmp_path / "model=.-m_llama" / "config.yaml").write_text("model: {name: m_llama}\n")
    assert shown(tmp_path, {"model=.-m_llama": 1, "model=smollm2": 2}) == {"model=m_llama": 1, "model=smollm2": 2}


def test_jobs_of_a_sweep_are_those_with_a_result_or_a_reason(tmp_path: Path) -> None:
    for name in ("seed=0", "seed=1", "seed=2", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "seed=0" / "summary.json").write_text('{"samples": 3}')
    (tmp_path / "seed=1" / "FAILED").touch()
    (tmp_path / "seed=2" / "summary.json").write_text("{}")
    (tmp_path / "seed=2" / "FAILED").touch()
    assert sweep_jobs(tmp_path) == {"seed=0": {"samples": 3}, "seed=1": None, "seed=2": None}
