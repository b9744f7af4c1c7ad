"""The driver's loop against replicas that are timers: who gets what, and what happens when things die."""

import tracemalloc
from collections import Counter
from collections.abc import Iterator

import pytest
from simulated_backend import Fate, SimulatedBackend, always_answers

from cola_search.backend import Done, Event, Failed, Lost, RawRecord
from cola_search.cluster_settings import PoolLimits
from cola_search.pool import GIVEN_UP, MAX_LOSSES, run_pool

TEN = [f"s{i}" for i in range(10)]


def ids(records: list[RawRecord]) -> list[str]:
    return [record["sample"] for record in records]


def errors(records: list[RawRecord]) -> dict[str, str]:
    return {record["sample"]: record["error"] for record in records if record["error"]}


def one_second(sample_id: str) -> float:
    return 1.0


class Log:
    """A fate that remembers every call and asks another fate what comes of it."""

    def __init__(self, fate: Fate = always_answers) -> None:
        self.calls: list[list[str]] = []
        self.fate = fate

    def __call__(self, replica: int, sample_ids: list[str]) -> Event | None:
        self.calls.append(sample_ids)
        return self.fate(replica, sample_ids)


def unless(bad: str, what: str, times: float = float("inf"), **options: bool) -> Log:
    """A fate in which a call with sample `bad` in it ends badly, the first `times` times."""
    left = [times]

    def fate(replica: int, sample_ids: list[str]) -> Event | None:
        if bad not in sample_ids or left[0] <= 0:
            return always_answers(replica, sample_ids)
        left[0] -= 1
        match what:
            case "hang":
                return None
            case "raise":
                return Failed(replica, "ValueError: bad")
            case _:
                return Lost(replica, "its process died", **options)

    return Log(fate)


@pytest.mark.parametrize("replicas", [1, 2, 5, 20])
@pytest.mark.parametrize("batch", [1, 3])
def test_every_sample_gets_one_record_whatever_the_number_of_replicas(replicas: int, batch: int) -> None:
    backend = SimulatedBackend(replicas, one_second)
    records = list(run_pool(backend, TEN, PoolLimits(samples_per_call=batch)))
    assert sorted(ids(records)) == sorted(TEN)


def test_no_work_ends_without_waiting_for_a_replica() -> None:
    assert list(run_pool(SimulatedBackend(1, one_second, start_seconds=lambda replica: 1e9), [])) == []


def test_records_come_in_the_order_in_which_they_are_done() -> None:
    backend = SimulatedBackend(2, lambda sample_id: {"slow": 10.0}.get(sample_id, 1.0))
    assert ids(list(run_pool(backend, ["slow", "a", "b", "c"]))) == ["a", "b", "c", "slow"]


def test_work_begins_when_the_first_replica_is_up() -> None:
    backend = SimulatedBackend(3, one_second, start_seconds=lambda replica: {1: 0.0}.get(replica, 1000.0))
    assert len(list(run_pool(backend, TEN))) == 10
    assert backend.now() == 10.0


def test_a_replica_that_comes_late_gets_work_too() -> None:
    backend = SimulatedBackend(2, one_second, start_seconds=lambda replica: {1: 0.0}.get(replica, 4.0))
    list(run_pool(backend, TEN))
    assert backend.now() == 7.0  # 4 samples alone, 6 in pairs


def test_at_the_end_no_sample_waits_behind_another_while_a_replica_is_idle() -> None:
    backend = SimulatedBackend(4, one_second)
    list(run_pool(backend, TEN[:8], PoolLimits(calls_in_flight=2)))
    assert backend.now() == 2.0


def test_at_the_end_a_batch_is_shared_among_the_replicas() -> None:
    backend = SimulatedBackend(4, one_second)
    list(run_pool(backend, TEN[:8], PoolLimits(samples_per_call=8)))
    assert backend.now() == 2.0


def test_a_call_is_queued_behind_the_running_one_so_that_a_slow_driver_leaves_no_replica_idle() -> None:
    backend = SimulatedBackend(1, one_second)
    submitted = []
    backend.submit = lambda replica, sample_ids: submitted.append(sample_ids)  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="for ever"):
        list(run_pool(backend, TEN, PoolLimits(calls_in_flight=2)))
    assert submitted == [["s0"], ["s1"]]


def test_new_work_goes_out_before_the_consumer_sees_the_record() -> None:
    backend = SimulatedBackend(1, one_second)
    stream = run_pool(backend, TEN, PoolLimits(calls_in_flight=1))
    next(stream)
    assert list(backend.calls[1]) == [["s1"]]


def test_ids_are_read_as_they_are_needed() -> None:
    read = []

    def source() -> Iterator[str]:
        for i in range(100):
            read.append(i)
            yield str(i)

    stream = run_pool(SimulatedBackend(2, one_second), source())
    next(stream)
    assert len(read) < 12


def test_memory_does_not_grow_with_the_number_of_samples() -> None:
    def peak(samples: int) -> int:
        tracemalloc.start()
        for _ in run_pool(SimulatedBackend(10, one_second), (str(i) for i in range(samples))):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(100)  # what Python keeps from a first run is no growth
    assert peak(8_000) < 1.2 * peak(2_000)


def test_a_sample_whose_replica_died_is_tried_again() -> None:
    fate = unless("s3", "die", times=1)
    records = list(run_pool(SimulatedBackend(2, one_second, fate), TEN))
    assert sorted(ids(records)) == TEN and not errors(records)


def test_a_sample_that_kills_two_replicas_becomes_an_error_record_and_the_run_goes_on() -> None:
    fate = unless("s3", "die")
    records = list(run_pool(SimulatedBackend(2, one_second, fate), TEN))
    assert sorted(ids(records)) == TEN
    assert errors(records) == {"s3": GIVEN_UP + "its replica was lost every time: its process died"}
    assert fate.calls.count(["s3"]) == 2


def test_the_number_of_attempts_is_a_setting() -> None:
    fate = unless("s3", "die")
    list(run_pool(SimulatedBackend(1, one_second, fate), TEN, PoolLimits(max_attempts=4)))
    assert fate.calls.count(["s3"]) == 4


def test_neighbours_of_a_deadly_sample_are_tried_alone_and_not_condemned() -> None:
    fate = unless("s3", "die")
    records = list(run_pool(SimulatedBackend(2, one_second, fate), TEN, PoolLimits(samples_per_call=5)))
    assert sorted(ids(records)) == TEN
    assert list(errors(records)) == ["s3"]


def test_a_death_in_company_is_not_held_against_a_sample() -> None:
    def fate(replica: int, sample_ids: list[str]) -> Event | None:
        die = len(sample_ids) > 1 or (sample_ids == ["s3"] and log.calls.count(["s3"]) == 1)
        return Lost(replica, "its process died") if die else always_answers(replica, sample_ids)

    log = Log(fate)
    assert not errors(list(run_pool(SimulatedBackend(1, one_second, log), TEN, PoolLimits(samples_per_call=5))))


def test_a_sample_to_be_tried_again_waits_for_an_idle_replica() -> None:
    backend = SimulatedBackend(2, one_second, unless("s0", "die"), restart_seconds=100.0)
    behind = []
    submit = backend.submit

    def watch(replica: int, sample_ids: list[str]) -> None:
        if backend.calls[replica]:
            behind.extend(sample_ids)
        submit(replica, sample_ids)

    backend.submit = watch  # type: ignore[method-assign]
    list(run_pool(backend, [f"s{i}" for i in range(40)], PoolLimits(calls_in_flight=3)))
    assert behind and "s0" not in behind


def test_calls_queued_behind_a_deadly_one_are_innocent() -> None:
    fate = unless("s0", "die")
    records = list(run_pool(SimulatedBackend(1, one_second, fate), TEN, PoolLimits(calls_in_flight=3)))
    assert list(errors(records)) == ["s0"]
    assert Counter(map(tuple, fate.calls)) == Counter({("s0",): 2} | {(s,): 1 for s in TEN[1:]})


def test_a_lost_node_is_not_blamed_on_the_sample() -> None:
    fate = unless("s3", "die", times=5, blame=False)
    assert not errors(list(run_pool(SimulatedBackend(2, one_second, fate), TEN)))


def test_a_sample_that_takes_whole_nodes_down_is_given_up_in_the_end() -> None:
    fate = unless("s3", "die", blame=False)
    records = list(run_pool(SimulatedBackend(2, one_second, fate), TEN))
    assert list(errors(records)) == ["s3"] and fate.calls.count(["s3"]) == MAX_LOSSES


def test_an_exception_becomes_an_error_record_and_the_replica_lives_on() -> None:
    backend = SimulatedBackend(1, one_second, unless("s3", "raise"))
    assert errors(list(run_pool(backend, TEN))) == {"s3": GIVEN_UP + "it raised twice: ValueError: bad"}
    assert backend.replicas_made == 1


def test_samples_in_one_call_with_a_raising_one_are_tried_alone() -> None:
    fate = unless("s3", "raise")
    records = list(run_pool(SimulatedBackend(1, one_second, fate), TEN, PoolLimits(samples_per_call=5)))
    assert sorted(ids(records)) == TEN and list(errors(records)) == ["s3"]


def test_a_hung_replica_is_replaced_after_the_deadline() -> None:
    backend = SimulatedBackend(1, one_second, unless("s3", "hang", times=1), restart_seconds=2.0)
    records = list(run_pool(backend, TEN, PoolLimits(call_seconds=60.0)))
    assert sorted(ids(records)) == TEN and not errors(records)
    assert backend.replicas_made == 2 and backend.now() == 10 + 60 + 2


def test_a_sample_that_hangs_twice_becomes_an_error_record() -> None:
    backend = SimulatedBackend(2, one_second, unless("s3", "hang"))
    records = list(run_pool(backend, TEN, PoolLimits(call_seconds=60.0)))
    assert list(errors(records)) == ["s3"] and "cluster.deadline_seconds" in errors(records)["s3"]


def test_the_deadline_of_a_queued_call_begins_when_it_runs() -> None:
    backend = SimulatedBackend(1, lambda sample_id: 50.0)
    records = list(run_pool(backend, TEN, PoolLimits(call_seconds=60.0, calls_in_flight=3)))
    assert len(records) == 10 and not errors(records) and backend.replicas_made == 1


def test_an_answer_that_came_in_time_counts_even_if_the_driver_looks_late() -> None:
    backend = SimulatedBackend(1, one_second)
    stream = run_pool(backend, TEN, PoolLimits(call_seconds=60.0, calls_in_flight=1))
    next(stream)
    backend.time += 1000.0  # the consumer was busy
    assert len(list(stream)) == 9 and backend.replicas_made == 1


def test_an_answer_of_a_replaced_replica_is_not_counted() -> None:
    backend = SimulatedBackend(1, lambda sample_id: 100.0 if sample_id == "s3" else 1.0)
    records = list(run_pool(backend, TEN, PoolLimits(call_seconds=60.0)))
    assert sorted(ids(records)) == TEN and list(errors(records)) == ["s3"]


def test_a_sample_without_a_record_becomes_an_error_record() -> None:
    def forgets(replica: int, sample_ids: list[str]) -> Event:
        return Done(replica, [{"sample": "x", "error": None}])

    records = list(run_pool(SimulatedBackend(1, one_second, forgets), TEN))
    assert sorted(ids(records)) == TEN and len(errors(records)) == 10


def test_nothing_is_lost_or_twice_when_replicas_die_at_random() -> None:
    rolls = iter(range(10**9))

    def fate(replica: int, sample_ids: list[str]) -> Event | None:
        match next(rolls) * 7919 % 11:
            case 0:
                return Lost(replica, "its process died")
            case 1:
                return Lost(replica, "its node was lost", blame=False)
            case 2:
                return None
            case _:
                return always_answers(replica, sample_ids)

    work = [str(i) for i in range(500)]
    backend = SimulatedBackend(7, one_second, fate)
    records = list(run_pool(backend, work, PoolLimits(samples_per_call=3, call_seconds=60.0, max_attempts=9)))
    assert sorted(ids(records)) == sorted(work) and not errors(records)


def test_the_pool_forgets_the_trouble_of_finished_samples() -> None:
    from cola_search.pool import Pool

    pool = Pool(SimulatedBackend(2, one_second, unless("s3", "die")), iter(TEN), PoolLimits())
    list(pool.run())
    assert not pool.trouble and not pool.ahead and not pool.running
