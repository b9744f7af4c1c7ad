"""What the command tells without running anything."""

from pathlib import Path

import pytest

from cola_search import __version__
from cola_search.cli import main
from cola_search.config import group_names
from cola_search.listing import answer


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
