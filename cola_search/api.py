"""Searching from Python: no Hydra, no Ray, one replica in this process."""

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeAlias, TypeVar

import numpy as np
import yaml

from cola_search.cluster_settings import ClusterSettings
from cola_search.combinations import check_read
from cola_search.conf_path import conf_path
from cola_search.errors import UserError
from cola_search.job import Worker
from cola_search.model.config import ModelConfig
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.loading import LoadedModel, require_loaded
from cola_search.prior_tables import check_apart
from cola_search.records import Record
from cola_search.schema import build
from cola_search.search_settings import SearchSettings
from cola_search.settings import ControlSettings, PriorSettings, Settings, TrackingSettings, VerifySettings
from cola_search.tasks.task import Task

T = TypeVar("T")
Given: TypeAlias = T | Mapping[str, Any] | str
"""A group of settings: itself, some of its values, or the name of its file in conf."""


def search(
    model: LoadedModel,
    task: Task,
    *,
    ids: Iterable[str] | None = None,
    preset: str = "edits",
    seed: int = 0,
    prior: Given[PriorSettings] = "uniform",
    engine: Given[EngineSettings] = "default",
    verify: Given[VerifySettings] = "front",
    controls: Given[ControlSettings] = "decoy",
    **settings: Any,
) -> Iterator[Record]:
    """The record of each sample of the task, as it is finished.

    ids: which samples, in this order; None: all. What is found for one does not depend on which others are there.
    preset: how to search, a file of conf/search; `settings` are fields of SearchSettings that differ from it.
    prior, engine, verify, controls: as on the command line, a file of that group of conf; or a mapping of its keys, as
        `prior={"kind": "learnt", "records": "runs/taught/records.jsonl"}`, whose other keys keep their defaults.
    Raises UserError, before anything is searched, for a preset or setting that does not exist, a value that does not fit,
    a setting that this search does not read, an id that the task does not have, and a prior that was learnt from items that are
    searched.
    """
    require_loaded(model)
    chosen = _chosen(task, ids)
    known = {field.name for field in fields(SearchSettings)}
    if unknown := sorted(set(settings) - known):
        raise UserError(f"search() does not know {', '.join(unknown)}: use one of {', '.join(sorted(known))}.")
    settings = {key: value.item() if isinstance(value, np.generic) else value for key, value in settings.items()}
    everything = Settings(
        samples=None,
        seed=operator.index(seed),
        run_dir="in memory",
        model=ModelConfig(name=model.name, source="local", path=model.name),
        task=task.config,
        search=build(SearchSettings, {**_option("search", preset), **settings}, "search"),
        prior=_group(PriorSettings, "prior", prior),
        engine=_group(EngineSettings, "engine", engine),
        cluster=ClusterSettings(mode="inprocess"),
        verify=_group(VerifySettings, "verify", verify),
        controls=_group(ControlSettings, "controls", controls),
        tracking=TrackingSettings(),
    )
    check_read([f"search.{key}={value}" for key, value in settings.items()], [everything])
    check_apart(everything.prior, ((sample_id, task.question(sample_id)) for sample_id in chosen))
    worker = Worker(everything, model, task)
    return (Record.from_dict(worker.work([sample_id])[0]) for sample_id in chosen)


def _chosen(task: Task, ids: Iterable[str] | None) -> Sequence[str]:
    if not isinstance(task, Task):
        raise UserError(
            f"search() searches a task that load_task() returns, not a {type(task).__name__}: to search some of its samples "
            "alone give the task and ids=[sample.id, ...]."
        )
    chosen = task.ids if ids is None else list(ids)
    if ids is not None and (unknown := [each for each in chosen if task.ids.position(each) is None]):
        raise UserError(f"{task.name} has no item {unknown[0]} among its {len(task)}: take ids from task.ids.")
    return chosen


def _group(kind: type[T], group: str, given: Given[T]) -> T:
    if isinstance(given, kind):
        return given
    values = _option(group, given) if isinstance(given, str) else given
    if not isinstance(values, Mapping):
        raise UserError(f"search() takes for {group} a name of conf/{group} or a mapping of its keys, not {given!r}.")
    return build(kind, values, group)


def _option(group: str, name: str) -> dict[str, Any]:
    """The values of a file of conf, with those that it builds on."""
    folder = conf_path() / group
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in names:
        raise UserError(f"search() does not know {group}={name!r}: use one of {', '.join(names)}.")
    values: dict[str, Any] = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
    for base in values.pop("defaults", ()):
        values = {**_option(group, base), **values}
    return values
