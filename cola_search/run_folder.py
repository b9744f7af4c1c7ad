"""The folder of a run: what it was told, what made it, and whether a command may go on in it.

    config.yaml       the checked settings
    settled.json      what they leave to the machine, as the first replica settled it (settled.py)
    provenance.json   a list, one entry for each time a command worked on the folder
    records.jsonl     the product (records.py)
    summary.json, report.html, log.txt, wandb/    views of it
    .lock             what whoever works in the folder holds (`locked`)

Whatever the objective is, the driver holds the folder while it calls `claim` and until it is done.
"""

import errno
import fcntl
import importlib.metadata
import json
import logging
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from cola_search import __version__
from cola_search.errors import FolderRefused, UserError
from cola_search.record_writer import sync
from cola_search.whole_file import whole

CONFIG, PROVENANCE, RECORDS = "config.yaml", "provenance.json", "records.jsonl"
SETTLED = "settled.json"
SUMMARY, FAILED = "summary.json", "FAILED"
DATASET, MENU = "dataset.json", "menu.json"
LOCK = ".lock"
FREE_KEYS = ("run_dir", "cluster.", "tracking.")
"""What cannot change a record, and so may differ when a run goes on."""

log = logging.getLogger(__name__)

_DISTRIBUTIONS = ("torch", "transformers", "tokenizers", "ray", "lm-eval", "numpy", "hydra-core")


def claim(folder: Path, settings: Mapping[str, Any], command: str) -> None:
    """Makes the folder this run's, or checks that it is: writes config.yaml and adds an entry to provenance.json.

    Raises FolderRefused, naming the keys, if the folder holds a run with other settings, or records without settings.
    `samples` may grow, for the records of the first so many stay what they are. Keys that cannot change a record
    (FREE_KEYS) may differ, and so may the path of what a prior is learnt from. A run that failed before its first record
    does not hold the folder, nor does one without records, of objective=dataset or menu: there each file of scores says
    what it is of.
    """
    path = folder / CONFIG
    if _has_records(folder):
        settled = read_settled(folder)
        _check_same(folder, _with(settled, flat(_read_config(path))), _with(settled, flat(settings)))
    else:
        (folder / SETTLED).unlink(missing_ok=True)
    _replace(path, yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True))
    entries = _entries(folder / PROVENANCE)
    entries.append(provenance(command))
    _replace(folder / PROVENANCE, json.dumps(entries, indent=2, ensure_ascii=False) + "\n")


def read_settled(folder: Path) -> dict[str, Any]:
    """What the folder's first replica settled; empty before that. Raises FolderRefused for a file that is damaged."""
    path = folder / SETTLED
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = type(error).__name__
        raise FolderRefused(f"run_dir: {path} cannot be read ({reason}): choose another run_dir") from error
    return dict(data)


def settle(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Keeps what the first replica settled. Raises FolderRefused where there are records of replicas that nobody knows."""
    if _has_records(folder):
        raise FolderRefused(f"run_dir: {folder} has records, but no {SETTLED} to go on by: choose another run_dir")
    _replace(folder / SETTLED, json.dumps(facts, indent=2) + "\n")
    return facts


def _with(settled: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The settings with what `auto` and null came to, so that naming it is no change."""
    known = {key: fact for key, fact in settled.items() if values.get(key) in (None, "auto")}
    return values | known


def _has_records(folder: Path) -> bool:
    records = folder / RECORDS
    return records.exists() and records.stat().st_size > 0


def provenance(command: str) -> dict[str, Any]:
    """What produces the records from now on: time, command, versions, and the commit if the package is a checkout."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "cola_search": __version__,
        "commit": git_commit(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {name: version for name in _DISTRIBUTIONS if (version := _version(name))},
    }


def git_commit() -> str | None:
    """The commit of the checkout that this package runs from, with `-dirty` if files differ; None outside of one.

    Rows that experiments append to files of results are no difference.
    """
    package = Path(__file__).parent
    if _git(package, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    commit = _git(package, "rev-parse", "HEAD")
    differs = _git(
        package, "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude,top)experiments/results"
    )
    return commit and commit + ("-dirty" if differs else "")


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _read_config(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = "there is none" if isinstance(error, FileNotFoundError) else type(error).__name__
        raise FolderRefused(f"run_dir: {path} cannot be read ({reason}): choose another run_dir") from error
    if not isinstance(data, dict) or not data:
        raise FolderRefused(f"run_dir: {path} is empty: choose another run_dir")
    return data


def _entries(path: Path) -> list[Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return data if isinstance(data, list) else []


def _check_same(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    changed = [
        f"{key} ({_shown(old, key)} there, {_shown(new, key)} here)"
        for key in sorted(old.keys() | new.keys())
        if _matters(key, old, new)
    ]
    if changed:
        raise FolderRefused(
            f"run_dir: {folder} holds a run with other settings: {', '.join(changed)}. "
            "Give the same settings to go on with it, or another run_dir."
        )


def _matters(key: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether the value of the key changed in a way that changes records."""
    if key.startswith(FREE_KEYS) or old.get(key) == new.get(key):
        return False
    if key == "prior.records" and old.get(key) and new.get(key):
        return False  # the file may have moved: its digest is settled, and refused by if it is another one (settled.py)
    return not (key == "samples" and _grows(old, new))


def _grows(old: dict[str, Any], new: dict[str, Any]) -> bool:
    before, after = old.get("samples"), new.get("samples")
    return after is None or (before is not None and after >= before)


def _shown(values: dict[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "not set"


def flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """One level: `{"search": {"c": 1}}` becomes `{"search.c": 1}`."""
    one_level: dict[str, Any] = {}
    for key, value in values.items():
        full = f"{path}.{key}" if path else str(key)
        one_level |= flat(value, full) if isinstance(value, Mapping) and value else {full: value}
    return one_level


def _replace(path: Path, text: str) -> None:
    """Writes the file in one step and onto the disk, so that it is whole or as it was after any crash."""
    try:
        with whole(path) as part:
            part.write_text(text, encoding="utf-8")
            sync(part)
        sync(path.parent)
    except OSError as error:
        reason = error.strerror
        raise UserError(f"run_dir: cannot write {path} ({reason}): free some space, or take another run_dir") from error


def make_folder(folder: Path) -> None:
    """Makes the folder that was named. Raises UserError where nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"run_dir={folder} cannot be made ({error.strerror}): choose another folder.") from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"run_dir={folder} cannot be written to: choose another folder.")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder for this process alone, however that ends. Raises FolderRefused if another one works in it.

    On a file system without locks that is told, and nobody is refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"run_dir: cannot write {folder} ({error.strerror}): choose another run_dir.") from error
    try:
        _lock(file, folder)
        yield
    finally:
        os.close(file)


def _lock(file: int, folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise FolderRefused(
            f"run_dir: another cola-search is working in {folder}: wait for it, stop it, or choose another run_dir."
        ) from error
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
        log.warning(
            "run_dir: %s is on a file system without locks: see to it that no other cola-search writes there", folder
        )
