"""What `cola-search` can tell without running anything: its help, its version, the models and tasks it knows."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cola_search import __version__
from cola_search.command import config_dir, without_config_dir
from cola_search.conf_path import conf_path
from cola_search.config import group_names

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


def help_text(own: str | None) -> str:
    """What can be set, with examples; own: a folder of the user's with more options."""
    lines = []
    for group in group_names():
        options = _options(group, own)
        if group in _NOTES:
            lines.append(f"\n{group}: {', '.join(options)}   ({_NOTES[group]})")
        else:
            lines += [f"\n{group}:", *_with_purposes(options)]
    return _HELP + "\n".join(lines) + "\n" + _MORE


def info_text(own: str | None) -> str:
    """The models and tasks under conf/, and in a folder of the user's own, with a line on each."""
    groups = ([f"{group}= ({note})", *_with_purposes(_options(group, own))] for group, note in _NOTES.items())
    return "\n\n".join("\n".join(lines) for lines in groups)


def _with_purposes(options: Mapping[str, str]) -> Iterator[str]:
    width = max(map(len, options), default=0)
    return (f"  {name:<{width}}  {purpose}" for name, purpose in options.items())


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
