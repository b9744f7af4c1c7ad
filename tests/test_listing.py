"""What the command tells without running anything."""

import json
from pathlib import Path

import pytest

from cola_search import __version__
from cola_search.cli import main
from cola_search.config import group_names
from cola_search.listing import answer, objective_jobs, shown, sweep_jobs
from cola_search.report.terminal import print_objectives


def test_help_explains_every_group_with_examples() -> None:
    text = answer(["--help"])
    assert text is not None
    for group in group_names():
        assert f"\n{group}:" in text
    for option in ("voids", "inprocess", "evidence", "smollm2"):
        assert option in text
    assert "cola-search -m seed=0,1,2" in text
    assert "  hill_climbing_learning  the cheap" in text


def test_info_lists_models_and_tasks_with_a_line_on_each() -> None:
    text = answer(["--info"])
    assert text is not None
    models, _, tasks = text.partition("\n\ntask=")
    assert "smollm2 " in models and "SmolLM2-135M-Instruct" in models
    assert tasks.startswith(" (or any lm-eval task)")


def own_options(folder: Path) -> list[str]:
    """A folder with a model of its own, one with a name of ours, and a task."""
    files = {
        "model/mine": "# Purpose: a model of my own.",
        "model/smollm2": "# another",
        "task/taught": "name: arc_easy",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(text + "\n")
    return ["--config-dir", str(folder)]


@pytest.mark.parametrize("shown", ["--info", "-i", "--help"])
def test_what_a_folder_of_the_users_own_adds_is_listed_too(tmp_path: Path, shown: str) -> None:
    own = own_options(tmp_path)
    texts = {answer([*own, shown]), answer([shown, *own]), answer([f"--config-dir={tmp_path}", shown])}
    (text,) = texts
    assert text is not None and "mine" in text and "taught" in text and "another" not in text
    assert "mine" not in (answer([shown]) or "")
    if shown != "--help":
        assert any(line.split() == ["mine", "a", "model", "of", "my", "own."] for line in text.splitlines())


def test_a_folder_that_is_none_is_told_before_anything_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config-dir", "nowhere", "--info"]) == 2
    assert "--config-dir=nowhere is not a folder" in capsys.readouterr().err


def test_hydras_own_info_is_left_to_hydra() -> None:
    assert answer(["--info", "config"]) is None


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cola-search {__version__}\n"


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
