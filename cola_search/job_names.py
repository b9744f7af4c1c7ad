"""The names of the jobs of a sweep: of their folders, and as tables and pages show them."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from cola_search.digests import hex_digits
from cola_search.run_folder import CONFIG, flat

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
