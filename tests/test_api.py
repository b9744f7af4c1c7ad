"""The public contract from Python."""

import pytest

import cola_search
from cola_search import api, load_task, search
from cola_search.config import Settings, compose_settings
from cola_search.errors import UserError
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.loading import LoadedModel


def test_search_yields_a_record_a_sample_without_hydra_and_ray(tiny_model: LoadedModel) -> None:
    task = load_task("arc_easy", limit=2)
    records = list(search(tiny_model, task, simulations=8, engine=EngineSettings(memory="50MB")))
    assert [record.sample for record in records] == list(task.ids)
    assert all(record.counts.simulations == 8 for record in records)


def test_a_setting_that_does_not_exist_is_refused(tiny_model: LoadedModel) -> None:
    with pytest.raises(UserError, match="does not know simulatons"):
        next(iter(search(tiny_model, load_task("arc_easy", limit=1), simulatons=8)))


def test_it_searches_as_the_command_does(tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Settings] = []
    monkeypatch.setattr(api, "Worker", lambda settings, model, task: made.append(settings))
    for words in ({}, {"preset": "cola", "simulations": 7}):
        with pytest.raises(AttributeError):  # there is no worker
            next(iter(search(tiny_model, load_task("arc_easy", limit=1), **words)))
    assert made[0].search == compose_settings().search
    assert made[1].search == compose_settings(["search=cola", "search.simulations=7"]).search


def test_a_preset_that_does_not_exist_is_refused(tiny_model: LoadedModel) -> None:
    with pytest.raises(UserError, match=r"no preset 'best': use one of beam, cola"):
        next(iter(search(tiny_model, load_task("arc_easy", limit=1), preset="best")))


def test_every_public_name_can_be_imported() -> None:
    for name in cola_search.__all__:
        assert getattr(cola_search, name) is not None


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        _ = cola_search.nothing
