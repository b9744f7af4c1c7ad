"""Whose folder it is: the config that must match, and what is kept of the command."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from record_fixture import record

from cola_search import run_folder
from cola_search.config import compose_settings
from cola_search.errors import FolderRefused, UserError
from cola_search.objective.dataset import run_dataset
from cola_search.objective.menu_run import run_menu
from cola_search.run import run
from cola_search.run_folder import LOCK, claim, git_commit, locked, read_settled, settle
from cola_search.settings import Settings

SETTINGS: dict[str, Any] = {
    "samples": 16,
    "seed": 0,
    "run_dir": "runs/a",
    "search": {"c": 0.3},
    "cluster": {"replicas": "auto"},
    "tracking": {"kind": "none"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run with one record."""
    claim(tmp_path, SETTINGS, "first")
    (tmp_path / "records.jsonl").write_text(record().to_line() + "\n")
    return tmp_path


def test_a_new_folder_gets_the_settings_and_what_made_it(tmp_path: Path) -> None:
    claim(tmp_path, SETTINGS, "cola-search seed=0")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == SETTINGS
    (entry,) = json.loads((tmp_path / "provenance.json").read_text())
    assert entry["command"] == "cola-search seed=0"
    assert {"cola_search", "python", "commit", "versions", "started"} <= entry.keys()


def test_the_same_settings_go_on_and_leave_a_second_entry(folder: Path) -> None:
    claim(folder, SETTINGS, "second")
    entries = json.loads((folder / "provenance.json").read_text())
    assert [entry["command"] for entry in entries] == ["first", "second"]


def test_other_settings_are_refused_by_the_keys_that_differ(folder: Path) -> None:
    with pytest.raises(FolderRefused, match=r"search\.c \(0\.3 there, 0\.5 here\), seed \(0 there, 1 here\)"):
        claim(folder, SETTINGS | {"seed": 1, "search": {"c": 0.5}}, "")
    assert yaml.safe_load((folder / "config.yaml").read_text())["seed"] == 0


def test_a_setting_that_only_one_of_them_knows_is_named(folder: Path) -> None:
    with pytest.raises(FolderRefused, match=r"search\.wave \(not set there, 8 here\)"):
        claim(folder, SETTINGS | {"search": {"c": 0.3, "wave": 8}}, "")


@pytest.mark.parametrize("free", [{"cluster": {"replicas": 4}}, {"tracking": {"kind": "wandb"}}, {"run_dir": "moved"}])
def test_what_cannot_change_a_record_may_differ(folder: Path, free: dict[str, Any]) -> None:
    claim(folder, SETTINGS | free, "")


def test_the_records_that_a_prior_learns_from_may_have_moved_but_not_come_or_gone(folder: Path) -> None:
    learnt = {name: SETTINGS | {"prior": {"kind": "learnt", "records": name}} for name in ("runs/a", "/moved/a", "")}
    (folder / "config.yaml").write_text(yaml.safe_dump(learnt["runs/a"]))
    claim(folder, learnt["/moved/a"], "")
    with pytest.raises(FolderRefused, match=r"prior\.records"):
        claim(folder, learnt[""], "")


@pytest.mark.parametrize(
    ("before", "after", "allowed"), [(16, 32, True), (16, None, True), (16, 8, False), (None, 8, False)]
)
def test_samples_may_only_grow(folder: Path, before: int | None, after: int | None, allowed: bool) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump(SETTINGS | {"samples": before}))
    if allowed:
        claim(folder, SETTINGS | {"samples": after}, "")
        return
    with pytest.raises(FolderRefused, match="samples"):
        claim(folder, SETTINGS | {"samples": after}, "")


def test_a_config_that_cannot_be_read_is_no_leave_to_overwrite_it(folder: Path) -> None:
    (folder / "config.yaml").write_text("seed: [")
    with pytest.raises(FolderRefused, match="cannot be read"):
        claim(folder, SETTINGS, "")


def test_records_without_their_settings_are_refused_in_a_short_sentence(folder: Path) -> None:
    for text in (None, "", "[]"):
        if text is None:
            (folder / "config.yaml").unlink()
        else:
            (folder / "config.yaml").write_text(text)
        with pytest.raises(FolderRefused, match=r"config\.yaml .*choose another run_dir") as refused:
            claim(folder, SETTINGS, "")
        assert len(str(refused.value)) < 80 + len(str(folder))
        assert text is None or (folder / "config.yaml").read_text() == text


def test_what_is_written_is_on_the_disk_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")))
    claim(tmp_path, SETTINGS, "")
    parts = [str(tmp_path / name) for name in ("config.yaml.part", "provenance.json.part")]
    assert synced == [parts[0], str(tmp_path), parts[1], str(tmp_path)]


def test_a_run_that_failed_before_its_first_record_does_not_hold_the_folder(tmp_path: Path) -> None:
    claim(tmp_path, SETTINGS | {"seed": 5}, "")
    (tmp_path / "records.jsonl").touch()
    claim(tmp_path, SETTINGS, "")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["seed"] == 0


def test_what_was_settled_goes_when_the_folder_is_free_again(tmp_path: Path) -> None:
    settle(tmp_path, {"model.dtype": "float32"})
    assert read_settled(tmp_path) == {"model.dtype": "float32"}
    claim(tmp_path, SETTINGS, "")
    assert read_settled(tmp_path) == {}


def test_naming_what_auto_was_settled_to_is_no_other_setting(folder: Path) -> None:
    def told(dtype: str, device: str = "auto") -> dict[str, Any]:
        return SETTINGS | {"model": {"dtype": dtype, "device": device}}

    (folder / "config.yaml").write_text(yaml.safe_dump(told("auto")))
    (folder / "settled.json").write_text('{"model.dtype": "float32", "model.device": "cpu"}')
    with pytest.raises(FolderRefused, match=r"model\.dtype \('float32' there, 'bfloat16' here\)"):
        claim(folder, told("bfloat16"), "")
    for dtype, device in (("float32", "cpu"), ("auto", "auto")):
        claim(folder, told(dtype, device), "")


def test_records_of_replicas_that_nobody_knows_are_not_added_to(folder: Path) -> None:
    with pytest.raises(FolderRefused, match=r"has records, but no settled\.json"):
        settle(folder, {"model.dtype": "float32"})
    (folder / "settled.json").write_text("{")
    with pytest.raises(FolderRefused, match=r"settled\.json cannot be read"):
        claim(folder, SETTINGS, "")


def test_nothing_of_the_environment_reaches_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret-key")
    monkeypatch.setenv("HF_TOKEN", "secret-token")
    claim(tmp_path, SETTINGS, "cola-search")
    assert "secret" not in "".join(path.read_text() for path in tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_that_of_the_checkout_and_says_if_files_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    module = tmp_path / "run_folder.py"
    module.write_text("1")
    monkeypatch.setattr(run_folder, "__file__", str(module))
    git("init", "-q")
    assert git_commit() is None  # a repository that does not have the package is somebody else's
    git("add", ".")
    git("commit", "-qm", "first")
    head = git("rev-parse", "HEAD")
    assert git_commit() == head
    module.write_text("2")
    assert git_commit() == f"{head}-dirty"


def test_a_folder_is_one_processs_and_a_killed_one_leaves_it_free(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from cola_search.run_folder import locked\n"
        "with locked(pathlib.Path(sys.argv[1])): print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"up\n"
        with pytest.raises(FolderRefused, match=f"another cola-search is working in {tmp_path}"), locked(tmp_path):
            pass
        other.kill()
    with locked(tmp_path), pytest.raises(FolderRefused), locked(tmp_path):
        pass


@pytest.mark.parametrize("start", [run, run_dataset, run_menu])
def test_no_run_of_any_objective_starts_in_a_folder_that_another_works_in(
    tmp_path: Path, start: Callable[[Settings], object]
) -> None:
    with locked(tmp_path), pytest.raises(FolderRefused, match="another cola-search"):
        start(compose_settings([f"run_dir={tmp_path}"]))
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_a_file_system_without_locks_is_told_once_and_refuses_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_folder.fcntl, "flock", no_locks)
    with locked(tmp_path):
        pass
    (line,) = caplog.messages
    assert "without locks" in line and str(tmp_path) in line


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="run_dir: cannot write"), locked(tmp_path / "file" / "run"):
        pass
