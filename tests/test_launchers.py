"""Sweeps whose jobs run side by side: with joblib in processes, with Ray as tasks. Real jobs on a tiny model."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cola_search.cli import main
from cola_search.conf_path import conf_path

LAUNCHERS = {
    "joblib_jobs": ("hydra_plugins.hydra_joblib_launcher", []),
    "ray_jobs": ("hydra_plugins.hydra_ray_launcher", ["hydra.launcher.ray.init.address=local"]),
}
SMALL = ["samples=2", "search.simulations=4", "controls=none", "cluster=inprocess", "tracking=none", "run_dir=out"]


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_goes_on_with_a_sweep_and_a_job_that_fails_leaves_its_reason(
    name: str, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, extra = LAUNCHERS[name]
    if not _installed(module):
        pytest.skip(f"needs {module}: pip install '.[launchers]'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_worker_niceness", raising=False)
    told = [f"model={tiny_folder}", *SMALL]
    assert main(["-m", "task=arc_easy", *told]) == 0
    assert os.environ["RAY_worker_niceness"] == "0"  # noqa: SIM112  # for a Ray that a launcher starts, too
    (done,) = Path("out").glob("*task=arc_easy*/records.jsonl")
    whole = done.read_text().splitlines(keepends=True)
    done.write_text(whole[0])  # as a crash would have left it

    arguments = ["-m", f"hydra/launcher={name}", "task=arc_easy,no_such_task", *told, *extra]
    swept = _command(arguments, tmp_path)

    assert swept.returncode == 1, swept.stderr
    again = done.read_text().splitlines(keepends=True)
    assert again[0] == whole[0]
    assert [json.loads(line)["sample"] for line in again] == [json.loads(line)["sample"] for line in whole]
    (failed,) = Path("out").glob("*task=no_such_task*/FAILED")
    assert "no_such_task" in failed.read_text()
    assert "1 of 2 jobs failed" in swept.stderr
    table = [line.split() for line in swept.stdout.splitlines() if line.startswith("task=")]
    assert [(row[0], row[-1]) for row in table] == [("task=arc_easy", "2"), ("task=no_such_task", "failed")]


def _command(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(conf_path().parent), "RAY_AUTH_MODE": "disabled"}
    return subprocess.run(
        [sys.executable, "-m", "cola_search", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_task_of_a_ray_job_takes_nothing_from_its_replicas() -> None:
    from omegaconf import OmegaConf

    launcher = OmegaConf.load(conf_path() / "hydra/launcher/ray_jobs.yaml")
    assert launcher.ray.remote == {"num_cpus": 0, "num_gpus": 0}
