"""The public contract from Python."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cola_search
from cola_search import api, load_task, search
from cola_search.config import compose_settings
from cola_search.errors import UserError
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.loading import LoadedModel
from cola_search.settings import PriorSettings, Settings


def test_search_yields_a_record_a_sample_without_hydra_and_ray(tiny_model: LoadedModel) -> None:
    task = load_task("arc_easy", limit=2)
    records = list(search(tiny_model, task, simulations=8, engine=EngineSettings(memory="50MB")))
    assert [record.sample for record in records] == list(task.ids)
    assert all(record.counts.simulations == 8 for record in records)


def test_samples_that_are_named_are_searched_in_that_order_as_among_all_others(tiny_model: LoadedModel) -> None:
    task, engine = load_task("arc_easy", limit=3), EngineSettings(memory="50MB")
    whole = {record.sample: record for record in search(tiny_model, task, simulations=8, engine=engine)}
    wanted = [task.ids[2], task.ids[0]]
    some = list(search(tiny_model, task, ids=wanted, simulations=8, engine=engine))
    assert [record.sample for record in some] == wanted
    assert [replace(record, seconds=0.0) for record in some] == [replace(whole[each], seconds=0.0) for each in wanted]


def test_an_id_that_the_task_does_not_have_and_samples_without_their_task_are_refused(tiny_model: LoadedModel) -> None:
    task = load_task("arc_easy", limit=2)
    with pytest.raises(UserError, match=r"arc_easy has no item nobody among its 2: take ids from task\.ids"):
        search(tiny_model, task, ids=[task.ids[0], "nobody"])
    with pytest.raises(UserError, match=r"not a list: .* give the task and ids=\[sample\.id, \.\.\.\]"):
        search(tiny_model, task[:1])  # type: ignore[arg-type]


def test_numbers_of_numpy_are_numbers_and_leave_plain_records(tiny_model: LoadedModel) -> None:
    task, engine = load_task("arc_easy", limit=1), EngineSettings(memory="50MB")
    plain = search(tiny_model, task, simulations=2, c=0.5, seed=3, engine=engine)
    other = search(tiny_model, task, simulations=np.int64(2), c=np.float32(0.5), seed=np.int64(3), engine=engine)  # type: ignore[arg-type]
    (one,), (two,) = ([replace(record, seconds=0.0) for record in records] for records in (plain, other))
    assert one.to_line() == two.to_line()


def test_a_setting_that_does_not_exist_is_refused(tiny_model: LoadedModel) -> None:
    with pytest.raises(UserError, match="does not know simulatons"):
        next(iter(search(tiny_model, load_task("arc_easy", limit=1), simulatons=8)))


def test_it_searches_as_the_command_does(tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Settings] = []
    monkeypatch.setattr(api, "Worker", lambda settings, model, task: made.append(settings))
    for words in ({}, {"preset": "cola", "simulations": 7}):
        search(tiny_model, load_task("arc_easy", limit=1), **words)
    assert made[0].search == compose_settings().search
    assert made[1].search == compose_settings(["search=cola", "search.simulations=7"]).search


def test_groups_are_named_as_on_the_command_line(tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Settings] = []
    monkeypatch.setattr("cola_search.api.Worker", lambda settings, *_: made.append(settings))
    task = load_task("arc_easy", limit=1)
    search(tiny_model, task)
    search(tiny_model, task, preset="partial", prior="voids", engine="mixed", verify="best", controls="all")
    search(tiny_model, task, preset="partial", prior={"kind": "voids", "alpha": 0.5}, controls={"transfer": 3})
    for settings, words in zip(
        made,
        (
            [],
            ["search=partial", "prior=voids", "engine=mixed", "verify=best", "controls=all"],
            ["search=partial", "prior=voids", "prior.alpha=0.5", "controls=none", "controls.transfer=3"],
        ),
        strict=True,
    ):
        wanted = compose_settings(words)
        for group in ("prior", "engine", "verify", "controls"):
            assert getattr(settings, group) == getattr(wanted, group)


def test_a_preset_that_does_not_exist_is_refused(tiny_model: LoadedModel) -> None:
    with pytest.raises(UserError, match=r"does not know search='best': use one of beam, cola"):
        next(iter(search(tiny_model, load_task("arc_easy", limit=1), preset="best")))


def test_a_mistake_is_told_before_the_first_record_is_asked_for(tiny_model: LoadedModel, tmp_path: Path) -> None:
    task = load_task("arc_easy", limit=1)
    for words, message in (
        ({"simulations": "20"}, r"search\.simulations='20' must be a whole number"),
        ({"min_length": 50}, r"search\.min_length=50 is above the 6 layers"),
        ({"beam_width": 2}, r"search\.beam_width=2 would not be read: it is for search=beam"),
        ({"simulations": 2.5}, r"search\.simulations=2\.5 must be a whole number"),
        ({"prior": PriorSettings(kind="learnt", records=str(tmp_path / "none.jsonl"))}, r"none\.jsonl cannot be read"),
        ({"prior": "nope"}, r"does not know prior='nope': use one of learnt, uniform, voids"),
        ({"controls": {"decoys": True}}, r"controls\.decoys is not a setting: did you mean controls\.decoy\?"),
        ({"engine": 4}, r"takes for engine a name of conf/engine or a mapping"),
        ({"preset": "drllm_released", "prior": PriorSettings(kind="voids")}, r"prior=voids: search=drllm_released"),
    ):
        with pytest.raises(UserError, match=message):
            search(tiny_model, task, **words)


def test_a_prior_that_was_learnt_from_the_same_items_is_refused(tiny_model: LoadedModel, tmp_path: Path) -> None:
    task, engine = load_task("arc_easy", limit=1), EngineSettings(memory="50MB")
    (record,) = search(tiny_model, task, simulations=2, engine=engine)
    path = tmp_path / "records.jsonl"
    path.write_text(record.to_line() + "\n")
    with pytest.raises(UserError, match="holds 1 of the items that this run reports on"):
        search(tiny_model, task, prior=PriorSettings(kind="learnt", records=str(path)))


def test_every_public_name_can_be_imported() -> None:
    for name in cola_search.__all__:
        assert getattr(cola_search, name) is not None


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        _ = cola_search.nothing
