"""What the first replica settles holds for the others, and for whoever goes on with the run."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cola_search.config import compose_settings
from cola_search.errors import UserError
from cola_search.job import LoadedReplica
from cola_search.model import engine
from cola_search.run import make_worker
from cola_search.settings import Settings
from cola_search.settled import Founding, refuse_others

FACTS: dict[str, Any] = {
    "model.source": "hub",
    "model.revision": "c0ffee",
    "model.device": "cuda",
    "model.dtype": "bfloat16",
    "engine.memory": 1000,
    "prior.records": "abc",
}


@pytest.fixture
def settings(tiny_folder: Path) -> Settings:
    return compose_settings([
        f"model='{tiny_folder}'", "model.dtype=float32", "samples=1", "search.simulations=4", "tracking=none",
        "cluster.mode=inprocess", "run_dir=unused",
    ])  # fmt: skip


def echo(settings: Settings) -> Settings:
    return settings


def test_the_share_of_the_memory_is_what_the_first_replica_made_of_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for free in (100_000_000, 10_000):  # the second machine has less, and goes on with the run
        monkeypatch.setattr(engine, "free_memory", lambda device, free=free: free)
        founding = Founding(tmp_path, settings, make_worker)
        replica = founding()
        worker = replica.join(founding.settle(replica.facts))
        assert worker.settings.engine.memory == "30000000"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model.dtype", "float32", r"model\.dtype is float32 .* bfloat16 in this run: set model\.dtype=bfloat16, or"),
        ("model.device", "cpu", r"model\.device is cpu .* set model\.device=cuda, or"),
        ("model.source", "pypi", r"set model\.source=hub, or"),
        ("model.revision", "beef", r"set model\.revision=c0ffee, or"),
        ("prior.records", "xyz", r"prior\.records: the file is not what it was"),
    ],
)
def test_a_replica_that_comes_out_otherwise_is_refused_with_the_key_to_set(key: str, value: str, said: str) -> None:
    refuse_others(FACTS, FACTS)
    with pytest.raises(UserError, match=said):
        refuse_others(FACTS | {key: value}, FACTS)


def test_other_weights_in_the_same_folder_are_no_revision_to_set() -> None:
    local = FACTS | {"model.source": "local"}
    with pytest.raises(UserError, match="the weights are not those that this run began with"):
        refuse_others(local | {"model.revision": "beef"}, local)


def test_every_replica_takes_the_commit_that_the_first_one_found(settings: Settings, tmp_path: Path) -> None:
    hub = replace(settings, model=replace(settings.model, hub_id="a/b", source="hub", path=None))
    founding = Founding(tmp_path, hub, echo)
    assert pickle.loads(pickle.dumps(founding))().model.revision is None
    founding.settle(FACTS)
    assert founding.settle(FACTS | {"model.revision": "beef"}) == FACTS
    assert pickle.loads(pickle.dumps(founding))().model.revision == "c0ffee"
    assert Founding(tmp_path, hub, echo)().model.revision == "c0ffee"  # a run that goes on


def test_a_worker_in_another_working_folder_finds_the_files(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = replace(
        settings,
        model=replace(settings.model, path="weights"),
        prior=replace(settings.prior, kind="learnt", records="a/records.jsonl"),
    )
    packed = pickle.dumps(Founding(tmp_path, relative, echo))
    monkeypatch.chdir("/")
    made = pickle.loads(packed)()
    assert made.model.path == str(tmp_path / "weights")
    assert made.prior.records == str(tmp_path / "a" / "records.jsonl")


def test_the_records_that_a_prior_learns_from_are_among_the_facts(settings: Settings, tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl"
    learnt = replace(settings, prior=replace(settings.prior, kind="learnt", records=str(records)))
    with pytest.raises(UserError, match=r"prior\.records=.* cannot be read"):
        LoadedReplica(learnt)
    records.write_text("")
    before = LoadedReplica(learnt).facts
    records.write_text("\n")
    assert LoadedReplica(learnt).facts["prior.records"] != before["prior.records"]
