"""What a replica does with a sample, on a tiny model and real items."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cola_search import job
from cola_search.chain import Chain
from cola_search.config import compose_settings
from cola_search.errors import UserError
from cola_search.job import Worker, generator
from cola_search.outcome import Score
from cola_search.records import Record
from cola_search.settings import Settings
from cola_search.tasks.task import Task


@pytest.fixture(scope="module")
def settings(tiny_folder: Path) -> Settings:
    return compose_settings([
        f"model='{tiny_folder}'", "model.dtype=float32", "search=partial", "search.simulations=24", "search.wave=4",
        "engine.memory=50MB", "controls=all", "tracking=none", "run_dir=unused",
    ])  # fmt: skip


@pytest.fixture(scope="module")
def records(settings: Settings) -> list[Record]:
    worker = Worker(settings)
    return [Record.from_dict(worker.work([i])[0]) for i in worker.task.ids[:3]]


def without_seconds(record: Record) -> dict[str, Any]:
    return {**record.to_dict(), "seconds": 0}


def test_the_base_comes_first_and_is_verified(records: list[Record]) -> None:
    for record in records:
        assert record.chains[0].chain == str(Chain.identity(6))
        assert record.base is not None and record.base.verified == record.base.correct


def test_the_best_chain_is_right_by_the_reference_and_the_shortest_such(records: list[Record]) -> None:
    found = [record.best for record in records if record.best]
    assert found
    for best in found:
        assert best.correct and best.verified and best.length == len(Chain.parse(best.chain))
    for record in records:
        right = [len(Chain.parse(row.chain)) for row in record.chains if row.correct]
        assert (record.best is None) == (not right)
        assert record.best is None or record.best.length == min(right)


def test_the_best_chain_is_kept_with_its_answer(records: list[Record]) -> None:
    assert {record.best.prediction == record.gold for record in records if record.best} == {True}


def test_the_verdicts_of_engine_and_reference_agree_in_float32(records: list[Record]) -> None:
    assert all(record.verification.checked == record.verification.agreed > 0 for record in records)


def test_both_controls_are_there_with_their_budget(records: list[Record]) -> None:
    for record in records:
        assert set(record.controls) == {"decoy", "random"}
        assert record.controls["decoy"].target not in (record.gold, record.base.prediction)
        assert record.controls["random"].evaluations <= 24


@pytest.mark.parametrize(("scope", "reached"), [("best", False), ("none", True)])
def test_a_control_reaches_what_holds_when_it_is_verified_as_a_fix_must(
    settings: Settings, records: list[Record], monkeypatch: pytest.MonkeyPatch, scope: Any, reached: bool
) -> None:
    (sample_id, *_) = [record.sample for record in records if all(c.reached for c in record.controls.values())]
    monkeypatch.setattr(job, "verify", lambda scorer, sample, chain: Score(correct=False, margin=-1.0))
    worker = Worker(replace(settings, verify=replace(settings.verify, scope=scope)))
    controls = Record.from_dict(worker.work([sample_id])[0]).controls
    assert {name: control.reached for name, control in controls.items()} == {"decoy": reached, "random": reached}
    assert all((control.length is not None) is reached for control in controls.values())


def test_a_sample_gives_the_same_record_whoever_came_before(settings: Settings, records: list[Record]) -> None:
    worker = Worker(settings)
    last = Record.from_dict(worker.work([records[2].sample])[0])
    assert without_seconds(last) == without_seconds(records[2])


def test_samples_side_by_side_give_the_same_chains_as_one_by_one(settings: Settings, records: list[Record]) -> None:
    mixed = replace(settings, engine=replace(settings.engine, samples_in_flight=3, mix_samples=True))
    together = [Record.from_dict(data) for data in Worker(mixed).work([record.sample for record in records])]
    for mine, wanted in zip(together, records, strict=True):
        assert [row.chain for row in mine.chains] == [row.chain for row in wanted.chains]
        assert mine.mix_samples and not wanted.mix_samples


def test_what_the_controls_of_a_generated_item_cost_does_not_depend_on_who_is_beside_it(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = compose_settings([
        f"model='{tiny_folder}'", "model.dtype=float32", "search=partial", "search.simulations=8", "controls.random=true",
        "engine=mixed", "engine.memory=50MB", "tracking=none", "run_dir=unused", "task=arithmetic_short",
    ])  # fmt: skip
    worker = Worker(settings)
    item, *others = worker.task.ids[:3]
    made = job.decoy_of
    monkeypatch.setattr(job, "decoy_of", lambda sample, *rest: None if sample.id == item else made(sample, *rest))
    alone, beside = (Record.from_dict(worker.work(group)[0]) for group in ([item], [item, *others]))
    assert set(alone.controls) == {"random"} and alone.controls == beside.controls
    assert not worker.scorer.engine.batched.executor.pool.used_rows  # nor is anything kept for those who come after


@pytest.mark.parametrize("where", ["stock.encode", "open"])
def test_a_sample_that_cannot_be_searched_is_an_error_and_its_neighbours_are_not(
    settings: Settings, records: list[Record], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    worker = Worker(replace(settings, engine=replace(settings.engine, samples_in_flight=3, mix_samples=True)))
    holder = worker.scorer.engine.stock if where == "stock.encode" else worker.scorer.engine
    name = where.rpartition(".")[2]
    stock = getattr(holder, name)

    def refuse(sample: Any) -> Any:
        if sample.id == records[1].sample:
            raise UserError("too long")
        return stock(sample)

    monkeypatch.setattr(holder, name, refuse)
    first, bad, last = worker.work([record.sample for record in records])
    assert bad["error"] == "too long" and bad["chains"] == [] and bad["sample"] == records[1].sample
    for data, wanted in ((first, records[0]), (last, records[2])):
        assert data["error"] is None and [row[0] for row in data["chains"]] == [row.chain for row in wanted.chains]
    assert worker.scorer._sessions == {}


def test_an_item_that_is_none_is_an_error_of_its_own(
    settings: Settings, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(settings)
    make = Task.__getitem__

    def unlabelled(self: Task, key: Any) -> Any:
        if key == records[1].sample:
            raise UserError("item 1 has no gold answer")
        return make(self, key)

    monkeypatch.setattr(Task, "__getitem__", unlabelled)
    first, bad, last = (Record.from_dict(data) for data in worker.work([record.sample for record in records]))
    assert (bad.sample, bad.error, bad.num_layers) == (records[1].sample, "item 1 has no gold answer", 6)
    assert (first.best, last.best) == (records[0].best, records[2].best)


def test_a_prompt_that_is_too_long_stops_the_replica_before_it_searches(settings: Settings, tiny_model: Any) -> None:
    boolq = replace(settings, task=replace(settings.task, name="boolq"), samples=3)
    short = replace(tiny_model, hf=copy.deepcopy(tiny_model.hf))
    short.hf.config.max_position_embeddings = 600  # the longest of the three has some 1,450 bytes
    with pytest.raises(UserError, match=r"task.name=boolq: item \d needs \d+ tokens.*lower task.fewshot or samples"):
        Worker(boolq, short)


def test_a_search_that_does_not_fit_the_model_stops_the_replica_before_it_searches(settings: Settings) -> None:
    with pytest.raises(UserError, match=r"search\.min_length=7 is above the 6 layers of the model"):
        Worker(replace(settings, search=replace(settings.search, min_length=7)))


def test_a_prior_from_voids_changes_the_search_and_costs_nothing(settings: Settings, records: list[Record]) -> None:
    voids = Worker(replace(settings, prior=replace(settings.prior, kind="voids")))
    record = Record.from_dict(voids.work([records[0].sample])[0])
    assert record.chains[0] == records[0].chains[0]
    assert [row.chain for row in record.chains] != [row.chain for row in records[0].chains]


def test_a_generator_follows_from_seed_sample_and_use_alone() -> None:
    draws = {(s, i, u): generator(s, i, u).random() for s in (0, 1) for i in ("a", "b") for u in (0, 1)}
    assert len(set(draws.values())) == 8
    assert generator(0, "a", 0).random() == draws[0, "a", 0]
    assert isinstance(generator(0, "a", 0), np.random.Generator)


def test_controls_draw_the_same_other_items_however_many_samples_a_run_has(settings: Settings, tiny_model) -> None:
    task = replace(settings.task, name="arithmetic_short", chat_template=False)
    few, more = (Worker(replace(settings, task=task, samples=n), tiny_model).task for n in (2, 12))
    for i in range(2):
        drawn = [one[i].decoy(np.random.default_rng(i), None).gold for one in (few, more)]
        assert drawn[0] == drawn[1]
