"""How a command line becomes the settings of a run, by Hydra.

Nothing here imports torch, transformers or Ray, so every mistake is told before anything is loaded.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cola_search.conf_path import conf_path
from cola_search.errors import UserError
from cola_search.hydra_source import SCHEME, quoted, register
from cola_search.schema import build, default_values, key_paths, unknown_key
from cola_search.settings import Settings
from cola_search.sweep import job_folder

HYDRA_VERSION_BASE = "1.3"
PRIMARY = "config"


def to_settings(config: DictConfig) -> Settings:
    """The checked settings of a composed configuration. Raises UserError, naming the key, for whatever is wrong."""
    try:
        data = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key or 'the configuration'}: {_first_line(error)}") from error
    assert isinstance(data, dict)
    settings = build(Settings, {str(key): value for key, value in data.items()})
    if settings.task.limit is not None:
        raise UserError("task.limit cannot be set in a run: samples says how many items it takes.")
    return settings


def prepare_hydra() -> None:
    """Registers what Hydra needs to know of us."""
    register(default_values(Settings))


def compose_settings(overrides: Sequence[str] = ()) -> Settings:
    """The settings that `cola-search OVERRIDES` would run with. Raises UserError for whatever is wrong."""
    (settings,) = compose_jobs(overrides, sweep=False)
    return settings


def compose_jobs(overrides: Sequence[str], *, sweep: bool, config_dir: str | None = None) -> list[Settings]:
    """The settings of every job that the overrides ask for: one, or with `sweep` as many as their lists multiply to.

    config_dir: a folder that exists, with more configuration files, as Hydra's --config-dir names it.
    """
    parsed = parse_overrides(overrides)
    _check_keys(parsed, sweep=sweep)
    more = [f"hydra.searchpath=['file://{Path(config_dir).resolve()}','{SCHEME}://']"] if config_dir else []
    with _hydra_with_our_conf(), _one_sentence():
        (jobs,) = BasicSweeper.split_arguments(parsed, None)
        composed = [hydra.compose(PRIMARY, overrides=[*job, *more]) for job in jobs]
        settings = []
        for config in composed:
            OmegaConf.copy_cache(composed[0], config)  # the time in a run_dir is that of the first job
            settings.append(to_settings(config))
        return settings


def sweep_folders(overrides: Sequence[str]) -> set[str]:
    """The names of the folders that the jobs of a sweep work in; jobs with the same name, as of seed=0,0, share one."""
    (jobs,) = BasicSweeper.split_arguments(parse_overrides(overrides), None)
    return {job_folder([text for text in job if not text.startswith("hydra")]) for job in jobs}


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """The overrides as Hydra's grammar reads them. Raises UserError for one that it cannot read."""
    parsed: list[Override] = []
    with _hydra_with_our_conf():
        parser = OverridesParser.create(GlobalHydra.instance().config_loader())
        for text in overrides:
            try:
                parsed += parser.parse_overrides([text])
            except HydraException:
                key, _, value = text.partition("=")
                advice = f'quote the value: {key}="{quoted(value)}"' if value else "write KEY=VALUE"
                raise UserError(f"{text} cannot be read as KEY=VALUE: {advice}") from None
    return parsed


def group_names() -> list[str]:
    """The configuration groups that a user chooses from, in alphabetical order."""
    return sorted(path.name for path in conf_path().iterdir() if path.is_dir() and path.name != "hydra")


_NOT_BY_HYDRA = {
    "hydra.searchpath": "name a folder of configuration files with --config-dir",
    "hydra.run.dir": "name the folder with run_dir",
    "hydra.sweep.dir": "name the folder with run_dir",
    "hydra.sweep.subdir": "a sweep goes on by the names of its folders, which are those of the settings",
}


def _check_keys(overrides: Sequence[Override], *, sweep: bool) -> None:
    """Raises UserError for a key that nobody reads, and for a sweep where none was asked for."""
    groups = group_names()
    known = sorted({*key_paths(Settings), *groups})
    free = tuple(path.removesuffix("*") for path in known if path.endswith(".*"))
    for override in overrides:
        key = override.key_or_group
        if key in _NOT_BY_HYDRA:
            raise UserError(f"{key} cannot be set: {_NOT_BY_HYDRA[key]}.")
        if key.startswith("hydra"):
            continue
        if key not in known and not key.startswith(free):
            raise unknown_key(key, known)
        if override.is_delete():
            raise UserError(f"~{key}: a setting cannot be taken away; give it another value.")
        if override.is_sweep_override() and (not sweep or key == "run_dir"):
            advice = "every job gets a folder below the one" if sweep else "add -m to run them all, or quote the value"
            raise UserError(f"{override.input_line} names several values: {advice}.")
        if override.is_interval_sweep():
            raise UserError(f"{override.input_line} is a range and names no values: list them, as {key}=A,B.")
        if key in groups and not override.is_sweep_override() and not isinstance(override.value(), str):
            raise UserError(f"{override.input_line}: {key} is a group, so name one of its options (see --help).")


@contextmanager
def _hydra_with_our_conf() -> Iterator[None]:
    """Hydra initialised on conf/, unless it is already; left as it was found."""
    prepare_hydra()
    if GlobalHydra.instance().is_initialized():
        yield
        return
    with hydra.initialize_config_dir(str(conf_path()), version_base=HYDRA_VERSION_BASE):
        yield


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turns what Hydra says over many lines into one sentence."""
    try:
        yield
    except MissingConfigException as error:
        if error.options is None or error.missing_cfg_file is None:
            raise UserError(_first_line(error)) from error
        group, _, name = error.missing_cfg_file.rpartition("/")
        options = ", ".join(option for option in error.options if not option.startswith("_"))
        raise UserError(f"{group}={name} does not exist: choose one of {options}.") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_first_line(error)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:  # of a --config-dir; the file is named after the first line
        raise UserError(f"A configuration file is not YAML: {' '.join(str(error).split()).rstrip('.')}.") from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
