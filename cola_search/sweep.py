"""The jobs of a sweep: the names of their folders, how tables and pages show these, and what the folders hold."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from cola_search.digests import hex_digits
from cola_search.run_folder import CONFIG, DATASET, FAILED, MENU, SUMMARY, flat

T = TypeVar("T")

_LONGEST_FOLDER = 150
_NOT_IN_FOLDER = ("run_dir=", "hydra.", "cluster", "tracking")


def job_folder(overrides: Iterable[str]) -> str:
    """The folder of one job of a sweep, the same every time, so that a sweep resumes: `seed=1,task=gsm8k`."""
    telling = sorted(text for text in overrides if not text.startswith(_NOT_IN_FOLDER))
    name = _for_a_folder(",".join(telling)) or "default"
    if len(name) <= _LONGEST_FOLDER:
        return name
    return f"{name[:_LONGEST_FOLDER]}-{hex_digits(name, 8)}"


def shown_names(names: Mapping[str, Path]) -> list[str]:
    """How to show the names of runs, whose folders are given: what a folder's name cannot hold as its settings have it.

    `model=.-m_llama` is shown as `model=m_llama`, the name of that model. As they are where two would be the same.
    """
    shown = [shown_name(name, _settings(folder)) for name, folder in names.items()]
    return shown if len(set(shown)) == len(shown) else list(names)


def shown_name(name: str, settings: Mapping[str, Any]) -> str:
    """The name of a job with its values as the settings, one level deep, have them: all of a value, or its last part."""
    return ",".join(_shown(part, settings) for part in name.split(","))


def _shown(part: str, settings: Mapping[str, Any]) -> str:
    key, _, value = part.partition("=")
    known = settings.get(key, settings.get(f"{key}.name"))
    if not isinstance(known, str) or not f"-{value.strip('-')}".endswith(f"-{_for_a_folder(known)}"):
        return part
    return f"{key}={known}"


def _for_a_folder(text: str) -> str:
    return re.sub(r"[^\w.,=+@~%-]+", "-", text)


def _settings(folder: Path) -> dict[str, Any]:
    """The settings of a job, one level deep; none where they cannot be read, for then it has failed."""
    try:
        return flat(yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError):
        return {}


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
