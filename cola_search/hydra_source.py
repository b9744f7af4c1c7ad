"""What Hydra is taught: `model=` and `task=` take any name, every setting has a default, a sweep names its folders."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

from cola_search.model.config import model_config
from cola_search.sweep import job_folder
from cola_search.tasks.config import TaskConfig

SCHEME = "cola-search-any"
OPEN_GROUPS = ("model", "task")


class AnyNameSource(ConfigSource):
    """Answers `model/ANY` and `task/ANY`. conf/config.yaml puts it last in the search path, so that files win."""

    @staticmethod
    def scheme() -> str:
        return SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        group, _, name = config_path.partition("/")
        values = OmegaConf.create(open_config(group, name))
        return ConfigResult(provider=self.provider, path=self.full_path(), config=values, header={"package": group})

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return False

    def is_config(self, config_path: str) -> bool:
        group, _, name = config_path.partition("/")
        return group in OPEN_GROUPS and bool(name)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        return []


def open_config(group: str, name: str) -> dict[str, Any]:
    """The settings of a model or task that is not under conf/. Raises UserError where the name cannot be one."""
    if group == "model":
        return asdict(model_config(name))
    return asdict(TaskConfig(name=name))


_PLAIN_NAME = re.compile(r"[\w./\\+$%*@?|-]+", re.ASCII)
_NAMED = re.compile(rf"(?P<key>\+?(?:{'|'.join(OPEN_GROUPS)})|run_dir)=(?P<value>(?!\w+\()[^'\"\[{{$][^'\"$]*)")


def quote_names(override: str) -> str:
    """The override with the names of models, tasks and folders quoted where Hydra's grammar would trip over them.

    `model=pypi://P==1/a,smollm2` becomes `model='pypi://P==1/a',smollm2`: a comma still separates the jobs of a sweep,
    except in run_dir, which is one folder.
    """
    match = _NAMED.fullmatch(override)
    if match is None:
        return override
    key, value = match["key"], match["value"]
    names = [value] if key == "run_dir" else value.split(",")
    return f"{key}=" + ",".join(name if _PLAIN_NAME.fullmatch(name) else quoted(name) for name in names)


def quoted(value: str) -> str:
    """The value in quotes, which Hydra's grammar reads as it is."""
    escaped = value.replace("'", r"\'")
    return f"'{escaped}'"


def register(defaults: Mapping[str, Any]) -> None:
    """Makes Hydra know the source and the resolver above, and `defaults` as the config named `schema`.

    Calling it again changes nothing.
    """
    Plugins.instance().register(AnyNameSource)
    OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)
    ConfigStore.instance().store(name="schema", node=dict(defaults), provider="cola_search")
