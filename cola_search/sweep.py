"""The jobs of a sweep: the names of their folders, how tables and pages show these, and what the folders hold."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from cola_search.digests import hex_digits
from cola_search.errors import UserError
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


def shown_names(names: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """How to show the names of runs with these settings: what the name of a folder cannot hold is as the settings have it.

    `model=.-m_llama` is shown as `model=m_llama`, the name of that model. As they are where two would be the same.
    """
    shown = [shown_name(*pair) for pair in zip(names, settings, strict=True)]
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


def settings_of(folder: Path) -> dict[str, Any]:
    """The settings of a run, one level deep; empty if it keeps none. Raises UserError for a file that is damaged."""
    path = folder / CONFIG
    try:
        return flat(yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be read ({type(error).__name__}): restore it, or compare without it."
        ) from error


def readable_settings(folder: Path) -> dict[str, Any]:
    """As `settings_of`, but empty where they cannot be read: such a run has failed, and is told by its name as it is."""
    try:
        return settings_of(folder)
    except (UserError, OSError):
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
    names = shown_names(list(jobs), [readable_settings(folder / name) for name in jobs])
    return dict(zip(names, jobs.values(), strict=True))


def refusal(job: Path) -> Path:
    """Where a job of a sweep that may not write into its folder, which is another run's, leaves the reason: beside it."""
    return job.parent / f"{job.name}.REFUSED"


def _has_failed(job: Path) -> bool:
    return (job / FAILED).exists() or refusal(job).exists()


def _job_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())
