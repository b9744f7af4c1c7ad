"""Which items are for what: nothing that is reported on is searched or chosen on."""

from dataclasses import replace

import pytest

from cola_search.errors import UserError
from cola_search.model.loading import LoadedModel
from cola_search.objective.items import split_items
from cola_search.objective_settings import ObjectiveSettings
from cola_search.tasks.config import TaskConfig
from cola_search.tasks.sample import Sample
from cola_search.tasks.task import Task


def test_calibration_comes_from_train_and_is_divided(tiny_model: LoadedModel) -> None:
    items = split_items(ObjectiveSettings(items=50, held_out=20), TaskConfig("arc_easy"), tiny_model)
    assert (len(items.search), len(items.selection), len(items.held_out)) == (25, 25, 20)
    assert items.source == "50 items of the train split"
    assert [sample.id for sample in items.held_out] == list(items.task.ids[:20])
    assert not {s.id for s in items.search} & {s.id for s in items.selection}
    assert not {s.question for s in (*items.search, *items.selection)} & {s.question for s in items.held_out}


def test_without_a_train_split_calibration_items_are_those_not_held_out(tiny_model: LoadedModel) -> None:
    items = split_items(ObjectiveSettings(items=40, held_out=25), TaskConfig("sciq"), tiny_model)
    ids = [{s.id for s in some} for some in (items.search, items.selection, items.held_out)]
    assert len(set.union(*ids)) == sum(map(len, ids)) == 65
    assert "after the 25 that are held out" in items.source


def test_the_seed_draws_the_calibration_items(tiny_model: LoadedModel) -> None:
    settings, task = ObjectiveSettings(items=30, held_out=5), TaskConfig("arc_easy")
    drawn = [[s.id for s in split_items(settings, task, tiny_model, seed).search] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_split_that_was_named_and_is_not_there_is_refused(tiny_model: LoadedModel) -> None:
    with pytest.raises(UserError, match=r"task\.split=train: the wheels hold validation of sciq"):
        split_items(ObjectiveSettings(split="train"), TaskConfig("sciq"), tiny_model)


def test_holding_out_everything_leaves_nothing_to_calibrate_on(tiny_model: LoadedModel) -> None:
    with pytest.raises(UserError, match=r"objective\.held_out=None leaves 0 calibration items"):
        split_items(ObjectiveSettings(held_out=None), TaskConfig("sciq"), tiny_model)


@pytest.mark.parametrize(("selection", "empty"), [(0.001, "choose"), (0.999, "search")])
def test_a_share_that_leaves_nothing_to_choose_or_to_search_on_is_named(
    tiny_model: LoadedModel, selection: float, empty: str
) -> None:
    settings = ObjectiveSettings(items=30, held_out=15, selection=selection)
    with pytest.raises(UserError, match=rf"objective\.selection={selection} .*{empty} on,.*objective\.items=30\."):
        split_items(settings, TaskConfig("sciq"), tiny_model)


def _repeat(monkeypatch: pytest.MonkeyPatch, repeated: dict[str, Sample]) -> None:
    """From now on the items with these ids ask what another one asks."""
    make = Task._make

    def repeating(self: Task, position: int) -> Sample:
        sample = make(self, position)
        twin = repeated.get(sample.id)
        return sample if twin is None else replace(sample, question=twin.question, choices=twin.choices)

    monkeypatch.setattr(Task, "_make", repeating)


def test_an_item_that_is_there_twice_is_in_one_set_alone_also_within_a_split(
    tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, task = ObjectiveSettings(items=40, held_out=25), TaskConfig("sciq")
    before = split_items(settings, task, tiny_model)
    repeated = {
        before.search[0].id: before.held_out[1],
        before.selection[0].id: before.held_out[3],
        before.selection[2].id: before.search[4],
    }
    _repeat(monkeypatch, repeated)
    after = split_items(settings, task, tiny_model)
    for some, kept in ((before.search, after.search), (before.selection, after.selection)):
        assert [s.id for s in kept] == [s.id for s in some if s.id not in repeated]


def test_a_question_of_the_train_split_that_is_held_out_too_is_dropped_and_the_others_stay(
    tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, task = ObjectiveSettings(items=30, held_out=5), TaskConfig("arc_easy")
    before = split_items(settings, task, tiny_model)
    repeated = {before.search[0].id: before.held_out[1], before.selection[2].id: before.held_out[3]}
    _repeat(monkeypatch, repeated)
    after = split_items(settings, task, tiny_model)
    for some, kept in ((before.search[1:], after.search), (before.selection, after.selection)):
        assert [s.id for s in kept] == [s.id for s in some if s.id not in repeated]
    assert after.source == "28 items of the train split"
