"""Which items are for the search, which for the choice, and which for nothing but the final score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cola_search.errors import UserError
from cola_search.model.loading import LoadedModel
from cola_search.objective_settings import ObjectiveSettings
from cola_search.tasks.config import TaskConfig
from cola_search.tasks.load import check_fits, load_task
from cola_search.tasks.sample import Sample
from cola_search.tasks.task import Task

CALIBRATION_SPLIT = "train"


@dataclass(frozen=True)
class Items:
    """Three sets of items that share none, by their ids and by question and options.

    search: what chains are searched on. selection: what the choice is made on. held_out: what it is reported on.
    source: one sentence on where the first two come from.
    """

    task: Task
    search: Sequence[Sample]
    selection: Sequence[Sample]
    held_out: Sequence[Sample]
    source: str


def split_items(settings: ObjectiveSettings, config: TaskConfig, model: LoadedModel, seed: int = 0) -> Items:
    """The items of a task for an objective; calibration items are drawn by the seed, held-out ones are the first.

    Raises UserError: no such split, too few items left for calibration, a prompt that the model cannot read.
    """
    task = load_task(config).bind(model)
    held_out = task.ids[: settings.held_out]
    pool, ids, source = _calibration(settings, config, model, task, len(held_out))
    drawn = _shuffled(ids, seed)[: settings.items]
    cut = len(drawn) - round(settings.selection * len(drawn))
    _refuse_few(settings, config, source, cut, len(drawn) - cut)
    for owner, some in ((task, held_out), (pool, drawn)):
        check_fits(owner, model, some)
    reported = [task[i] for i in held_out]
    # Dropped from what was drawn and divided already, so that the other items are the same whatever is there twice.
    known = set(map(_content, reported))
    search = [sample for sample in map(pool.__getitem__, drawn[:cut]) if _content(sample) not in known]
    known |= set(map(_content, search))
    selection = [sample for sample in map(pool.__getitem__, drawn[cut:]) if _content(sample) not in known]
    _refuse_few(settings, config, source, len(search), len(selection))
    return Items(task, search, selection, reported, f"{len(search) + len(selection)} items of {source}")


def unseen_items(
    used: Items, settings: ObjectiveSettings, config: TaskConfig, model: LoadedModel, seed: int, number: int
) -> tuple[Task, list[Sample]]:
    """At most `number` items that `split_items` would have drawn next, and their task: to test once more what it led to.

    used: what `split_items` gave for the other arguments; none of the items has the question and options of one of these.
    Raises UserError as it does.
    """
    known = {_content(sample) for some in (used.search, used.selection, used.held_out) for sample in some}
    pool, ids, _ = _calibration(settings, config, model, used.task, len(used.held_out))
    first = len(ids) if settings.items is None else settings.items
    drawn = _shuffled(ids, seed)[first : first + number]
    check_fits(pool, model, drawn)
    return pool, [sample for sample in map(pool.__getitem__, drawn) if _content(sample) not in known]


def _shuffled(ids: Sequence[str], seed: int) -> list[str]:
    return [ids[i] for i in np.random.default_rng([seed, len(ids)]).permutation(len(ids))]


def _refuse_few(settings: ObjectiveSettings, config: TaskConfig, source: str, search: int, selection: int) -> None:
    if search + selection and not (search and selection):
        empty, full = ("search", "choose") if selection else ("choose", "search")
        raise UserError(
            f"objective.selection={settings.selection} leaves none of {search + selection} calibration items of task "
            f"{config.name} ({source}) to {empty} on, and all to {full} on: take a share nearer to 0.5, or raise "
            f"objective.items={settings.items}."
        )
    if not search:
        raise UserError(
            f"objective.held_out={settings.held_out} leaves {search + selection} calibration items of task {config.name} "
            f"({source}), too few to search and to choose on: hold out fewer items, or name another objective.split."
        )


def _content(sample: Sample) -> tuple[str, tuple[str, ...]]:
    """What makes two items the same though their ids, or the splits that they are in, differ."""
    return sample.question, tuple(sample.choices or ())


def _calibration(
    settings: ObjectiveSettings, config: TaskConfig, model: LoadedModel, task: Task, held_out: int
) -> tuple[Task, list[str], str]:
    """The task to calibrate on, the ids to draw from, and what they are called."""
    evaluated = str(task.parts[0].config.test_split)
    split = settings.split or CALIBRATION_SPLIT
    if split != evaluated:
        try:
            other = load_task(config, split=split).bind(model)
            return other, list(other.ids), f"the {split} split"
        except UserError:
            if settings.split is not None:
                raise
    return task, list(task.ids[held_out:]), f"the {evaluated} split after the {held_out} that are held out"
