"""The replica in the driver's own process: the same loop and the same worker, without Ray."""

import pytest
from cluster_workers import TellingWorker, refuses

from cola_search.backend import RawRecord
from cola_search.cluster import InProcessBackend, make_backend
from cola_search.cluster_settings import ClusterSettings, PoolLimits
from cola_search.errors import UserError
from cola_search.pool import run_pool

IDS = [f"s{i}" for i in range(5)]


def run(work: list[str], per_call: int = 1, **changes: object) -> list[RawRecord]:
    settings = ClusterSettings(mode="inprocess", **changes)  # type: ignore[arg-type]
    with make_backend(settings, TellingWorker) as backend:
        return list(run_pool(backend, work, settings.limits(per_call)))


def test_every_sample_gets_its_record_in_order() -> None:
    assert [record["sample"] for record in run(IDS, per_call=2)] == IDS


def test_an_exception_becomes_an_error_record() -> None:
    records = run(["s0", "raise-1", "s1"])
    assert [record["error"] is None for record in records] == [True, False, True]


def test_a_spoilt_worker_is_made_anew_and_its_sample_given_up_after_two_attempts() -> None:
    made = []

    def factory() -> TellingWorker:
        made.append(1)
        return TellingWorker()

    with InProcessBackend(factory) as backend:
        records = list(run_pool(backend, ["spoil-1", *IDS], PoolLimits(calls_in_flight=3)))
    assert sorted(record["sample"] for record in records) == sorted(["spoil-1", *IDS])
    failed = {record["sample"]: record["error"] for record in records if record["error"]}
    assert list(failed) == ["spoil-1"] and "ReplicaBroken" in failed["spoil-1"]
    assert len(made) == 3


def test_a_worker_that_cannot_be_made_raises_its_own_error() -> None:
    with pytest.raises(UserError, match="no such model"), InProcessBackend(refuses) as backend:
        list(run_pool(backend, IDS))


def test_a_slow_call_is_no_hung_replica_because_nobody_could_end_it() -> None:
    with InProcessBackend(lambda: TellingWorker(0.1)) as backend:
        records = list(run_pool(backend, IDS, PoolLimits(call_seconds=0.05)))
    assert [record["error"] for record in records] == [None] * 5
