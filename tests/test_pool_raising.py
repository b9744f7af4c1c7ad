"""The driver's loop when workers raise: whether the sample or the replica is at fault."""

import heapq
import re
from collections import deque

import pytest
from simulated_backend import SimulatedBackend, always_answers

from cola_search.backend import Event, Failed, RawRecord
from cola_search.cluster_settings import PoolLimits
from cola_search.errors import UserError
from cola_search.pool import GIVEN_UP, MAX_RAISED, MAX_SICK, Pool, run_pool

FULL = "OSError: [Errno 28] No space left on device"


class SickBackend(SimulatedBackend):
    """A simulation in which the replicas that `sick` names raise at once; the others take 10 s a sample."""

    def __init__(self, replicas: int, sick: set[int], bad: str = "") -> None:
        super().__init__(replicas, lambda sample_id: 10.0, self._fate, restart_seconds=60.0)
        self.sick, self.bad = sick, bad
        self.tried: list[tuple[int, list[str]]] = []

    def _begin(self, replica: int, when: float) -> None:
        heapq.heappush(self.agenda, (when + (0.05 if replica in self.sick else 10.0), replica, "end"))

    def _fate(self, replica: int, sample_ids: list[str]) -> Event | None:
        self.tried.append((replica, sample_ids))
        raises = replica in self.sick or self.bad in sample_ids
        return Failed(replica, FULL) if raises else always_answers(replica, sample_ids)


def failed(records: list[RawRecord]) -> dict[str, str]:
    return {record["sample"]: record["error"] for record in records if record["error"]}


def test_a_sick_replica_costs_no_sample_its_record_and_is_replaced() -> None:
    backend = SickBackend(10, sick={3})
    records = list(run_pool(backend, map(str, range(1000))))
    assert len(records) == 1000 and not failed(records)
    assert backend.replicas_made == 11
    assert [replica for replica, _ in backend.tried].count(3) == MAX_RAISED


def test_several_sick_replicas_do_not_condemn_each_other_s_samples() -> None:
    backend = SickBackend(10, sick={3, 4, 5, 11, 12, 13})
    records = list(run_pool(backend, map(str, range(1000)), PoolLimits(samples_per_call=3)))
    assert len(records) == 1000 and not failed(records)


def test_a_sample_that_raises_everywhere_is_tried_on_two_replicas_and_ends_as_one_error_record() -> None:
    backend = SickBackend(4, sick=set(), bad="7")
    records = list(run_pool(backend, map(str, range(100))))
    assert len(records) == 100 and failed(records) == {"7": f"{GIVEN_UP}it raised twice: {FULL}"}
    assert len({replica for replica, sample_ids in backend.tried if "7" in sample_ids}) == 2
    assert backend.replicas_made == 4


def test_a_single_sick_replica_is_replaced_and_the_samples_are_tried_on_the_next_one() -> None:
    backend = SickBackend(1, sick={1})
    records = list(run_pool(backend, map(str, range(20)), PoolLimits(calls_in_flight=MAX_RAISED)))
    assert len(records) == 20 and not failed(records) and backend.replicas_made == 2


@pytest.mark.parametrize("replicas", [1, 4])
def test_a_run_in_which_replicas_raise_however_often_they_are_replaced_ends_and_says_why(replicas: int) -> None:
    backend = SickBackend(replicas, sick=set(range(1000)))
    records: list[RawRecord] = []
    with pytest.raises(UserError, match=rf"replicas in a row raised on all.*{re.escape(FULL)}"):
        for record in run_pool(backend, map(str, range(1000))):
            records.append(record)
    assert len(records) < 30 * replicas and backend.replicas_made <= MAX_SICK * replicas + replicas


def test_events_of_a_sick_replica_that_come_together_are_taken_in_before_it_is_replaced() -> None:
    backend = SickBackend(2, sick={1})
    wait, late = backend.wait, deque[Event]()

    def in_lumps(seconds: float | None) -> list[Event]:
        late.extend(wait(seconds))
        if any(isinstance(event, Failed) for event in late) and len(late) < MAX_RAISED and backend.time < 1.0:
            return []
        events = list(late)
        late.clear()
        return events

    backend.wait = in_lumps  # type: ignore[method-assign]
    pool = Pool(backend, map(str, range(20)), PoolLimits(calls_in_flight=4))
    assert sorted(record["sample"] for record in pool.run()) == sorted(map(str, range(20)))
    assert not pool.raised and not pool.trouble


@pytest.mark.parametrize("replicas", [1, 2, 10])
def test_a_sample_that_goes_alone_is_tried_soon_and_not_at_the_end_of_the_run(replicas: int) -> None:
    def fate(replica: int, sample_ids: list[str]) -> Event | None:
        bad = len(sample_ids) > 1 and any(int(sample_id) % 50 == 0 for sample_id in sample_ids)
        return Failed(replica, "ValueError: bad") if bad else always_answers(replica, sample_ids)

    backend = SimulatedBackend(replicas, lambda sample_id: 1.0, fate)
    pool = Pool(backend, map(str, range(5000)), PoolLimits(samples_per_call=8))
    order, longest = [], 0
    for record in pool.run():
        order.append(record["sample"])
        longest = max(longest, len(pool.alone))
    assert order.index("0") < 50 * replicas and longest < 20 * replicas
    assert len(order) == len(set(order)) == 5000
