"""What `cola-search` can tell without running anything: its help, its version, the models and tasks it knows."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from cola_search import __version__
from cola_search.command import config_dir, without_config_dir
from cola_search.conf_path import conf_path
from cola_search.config import group_names
from cola_search.job_names import shown_names
from cola_search.run_folder import DATASET, FAILED, MENU, SUMMARY

T = TypeVar("T")

_HELP = """\
cola-search finds, for every question, a sequence of a language model's layers that answers it right, or with fewer.

  cola-search                                             SmolLM2 on 16 items of ARC-Easy
  cola-search model=smollm2 task=arc_easy samples=32 search.simulations=200 prior=voids seed=0 run_dir=FOLDER
  cola-search model=Qwen/Qwen2.5-3B-Instruct task=gsm8k   any model of the hub, any task of lm-eval
  cola-search model=./my_model                            a local folder
  cola-search --config-dir FOLDER model=NAME              a model of your own in FOLDER/model/NAME.yaml; so for every group
  cola-search experiment=smoke                            a recipe of conf/experiment
  cola-search -m seed=0,1,2 prior=uniform,voids           a sweep: six jobs, one after the other

The same command with the same run_dir goes on where it stopped; with a larger samples= it adds to what is there.

samples=N     how many items of the task, from its beginning; null for all of them
seed=N        seeds every sample's search, together with the sample's id
run_dir=PATH  the folder for records.jsonl, summary.json, report.html and config.yaml

Groups, each with its options (GROUP=OPTION picks one, GROUP.KEY=VALUE changes one value of it):
"""

_MORE = """
  cola-search --info                 the models and tasks that are known by name
  cola-search --cfg job OVERRIDES    every key with its value
  cola-search --hydra-help           more on sweeps and overrides
  cola-search --version
"""

_NOTES = {
    "model": "or a hub id, a local folder, a pypi:// URI",
    "task": "or any lm-eval task",
}


def answer(arguments: Sequence[str]) -> str | None:
    """The text that the arguments ask for; None if they ask for something else. Raises UserError for a folder that is none."""
    if {"--help", "-h"} & set(arguments):
        return help_text(config_dir(arguments))
    if "--version" in arguments:
        return f"cola-search {__version__}"
    if without_config_dir(arguments) in (["--info"], ["-i"]):
        return info_text(config_dir(arguments))
    return None


def help_text(own: str | None = None) -> str:
    """What can be set, with examples; own: a folder of the user's with more options."""
    lines = []
    for group in group_names():
        options = _options(group, own)
        note = f"   ({_NOTES[group]})" if group in _NOTES else ""
        if group in _NOTES:
            lines.append(f"\n{group}: {', '.join(options)}{note}")
            continue
        lines.append(f"\n{group}:")
        width = max(map(len, options), default=0)
        lines += [f"  {name:<{width}}  {purpose}" for name, purpose in options.items()]
    return _HELP + "\n".join(lines) + "\n" + _MORE


def info_text(own: str | None = None) -> str:
    """The models and tasks under conf/, and in a folder of the user's own, with a line on each."""
    lines = []
    for group in ("model", "task"):
        options = _options(group, own)
        width = max(map(len, options), default=0)
        lines.append(f"{group}= ({_NOTES[group]})")
        lines += [f"  {name:<{width}}  {purpose}" for name, purpose in options.items()]
        lines.append("")
    return "\n".join(lines).rstrip()


def sweep_jobs(folder: Path) -> dict[str, dict[str, Any] | None]:
    """The jobs of a sweep's folder by name: what summary.json holds, or None where the job left its reason to fail."""
    jobs: dict[str, dict[str, Any] | None] = {}
    for job in _job_folders(folder):
        if _has_failed(job):
            jobs[job.name] = None
        elif (job / SUMMARY).exists():
            jobs[job.name] = json.loads((job / SUMMARY).read_text(encoding="utf-8"))
    return jobs


def objective_jobs(folder: Path) -> dict[str, dict[str, Any]]:
    """The jobs of a sweep's folder that sought one chain or a menu for a task, by name: what their result file holds."""
    jobs: dict[str, dict[str, Any]] = {}
    for job in _job_folders(folder):
        for name in (DATASET, MENU):
            if (job / name).exists() and not _has_failed(job):
                jobs[job.name] = json.loads((job / name).read_text(encoding="utf-8"))
    return jobs


def shown(folder: Path, jobs: Mapping[str, T]) -> dict[str, T]:
    """The jobs of a sweep's folder by the names to show them with."""
    return dict(zip(shown_names({name: folder / name for name in jobs}), jobs.values(), strict=True))


def refusal(job: Path) -> Path:
    """Where a job of a sweep that may not write into its folder, which is another run's, leaves the reason: beside it."""
    return job.parent / f"{job.name}.REFUSED"


def _has_failed(job: Path) -> bool:
    return (job / FAILED).exists() or refusal(job).exists()


def _job_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _options(group: str, own: str | None) -> dict[str, str]:
    """The options of a group with their purpose, the first line of comment in their file; of one name ours is what is taken."""
    folders = [Path(own), conf_path()] if own else [conf_path()]
    paths = {path.stem: path for folder in folders for path in (folder / group).glob("*.yaml")}
    return {name: _purpose(paths[name]) for name in sorted(paths) if not name.startswith("_")}


def _purpose(path: Path) -> str:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("#") and not line.startswith("# @"):
            return line.lstrip("# ").removeprefix("Purpose:").strip()
    return ""
