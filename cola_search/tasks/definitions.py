"""Where the definition of a task name lies: in lm-eval, or in our own `protocols`.

lm-eval's own index reads its 13,000 YAML files for seconds each time, so ours is kept in the cache per lm-eval version.
"""

import difflib
import importlib.metadata
import importlib.util
import json
import logging
import os
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from lm_eval.tasks._index import Entry, Kind, TaskIndex
from lm_eval.tasks._yaml_loader import load_yaml

from cola_search import wheels
from cola_search.errors import UserError

log = logging.getLogger(__name__)

PROTOCOLS = Path(__file__).parent / "protocols"
Index = dict[str, Entry]


def find(name: str) -> tuple[Entry, Index]:
    """The entry of a task, group or tag name and the index to look its members up in; ours come before lm-eval's.

    Raises UserError for an unknown name (with near matches) and for the tasks that cannot run beside Hydra 1.3.
    """
    _refuse_antlr_clash(name)
    ours = protocols()
    if name in ours:
        return ours[name], ours
    if (guessed := _by_file_name(name)) is not None:
        return guessed, {name: guessed}
    index = lm_eval_index()
    if name not in index:
        raise UserError(f"task.name={name} is not a task of lm-eval or ours; {_near(name, list(ours), index)}")
    return index[name], index


@cache
def protocols() -> Index:
    """The tasks of our own YAML files."""
    return TaskIndex.build([PROTOCOLS])


@cache
def lm_eval_index() -> Index:
    """lm-eval's tasks, groups and tags, from the cache where this version has been indexed before."""
    version = importlib.metadata.version("lm_eval")
    held = wheels.cache_root() / "tasks" / f"lm-eval-{version}.json"
    folder = lm_eval_folder()
    if not held.exists():
        log.info("Indexing lm-eval's task definitions (once, some seconds).")
        _write_json(held, [_packed(entry, folder) for entry in TaskIndex.build([folder]).values()])
    entries = (_unpacked(packed, folder) for packed in json.loads(held.read_text()))
    return {entry.name: entry for entry in entries}


def runs_code(entry: Entry) -> bool:
    """Whether the grader of a task runs code that the model wrote."""
    if entry.yaml_path is None:
        return False
    return bool(load_yaml(entry.yaml_path, resolve_func=False).get("unsafe_code"))


def lm_eval_folder() -> Path:
    """The folder of lm-eval's task definitions."""
    spec = importlib.util.find_spec("lm_eval.tasks")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def _by_file_name(name: str) -> Entry | None:
    """A single task of lm-eval whose YAML file has its name, which saves indexing them all; None if there is none."""
    if not name.replace("_", "").isalnum():
        return None
    for path in sorted(lm_eval_folder().glob(f"*/{name}.yaml")):
        config = load_yaml(path, resolve_func=False)
        if config.get("task") == name and "group" not in config and "class" not in config:
            return Entry(name=name, kind=Kind.TASK, yaml_path=path)
    return None


def _refuse_antlr_clash(name: str) -> None:
    """lm-eval's LaTeX graders assert antlr 4.11 at import, and Hydra 1.3 pins 4.9."""
    if _clashes(name):
        raise UserError(
            f"task.name={name} needs antlr 4.11, which cannot be installed beside Hydra 1.3; "
            "use ours with math-verify: math_level_1 to math_level_5."
        )


def _clashes(name: str) -> bool:
    return re.match(r"(minerva_math|putnam_axiom|score)(_|\d|$)", name) is not None


def _near(name: str, ours: list[str], index: Index) -> str:
    """What else the user may have meant: names that go on from this one, ours first, then names spelt much like it."""
    if "/" in name or name.endswith((".yaml", ".yml")):
        return f"a task is given by the name in its YAML file: put the file into {PROTOCOLS} and give that name."
    theirs = [other for other in index if not _clashes(other)]
    longer = [other for known in (ours, theirs) for other in sorted(known, key=len) if other.startswith(name)]
    near = dict.fromkeys([*longer[:2], *difflib.get_close_matches(name, [*ours, *theirs], n=4)])
    fit = [other for other in near if other in ours or not runs_code(index[other])]
    return f"did you mean {', '.join(fit)}?" if fit else "`lm_eval ls tasks` lists lm-eval's."


def _packed(entry: Entry, folder: Path) -> dict[str, Any]:
    path = entry.yaml_path.relative_to(folder).as_posix() if entry.yaml_path else None
    return {"name": entry.name, "kind": entry.kind.name, "path": path, "tags": sorted(entry.tags)}


def _unpacked(packed: dict[str, Any], folder: Path) -> Entry:
    path = folder / packed["path"] if packed["path"] else None
    return Entry(name=packed["name"], kind=Kind[packed["kind"]], yaml_path=path, tags=set(packed["tags"]))


def _write_json(path: Path, value: object) -> None:
    with wheels.disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as staged:
            json.dump(value, staged)
        os.replace(staged.name, path)
