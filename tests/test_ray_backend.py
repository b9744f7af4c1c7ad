"""How the backend follows its cluster, with slots and nodes that are fakes; test_cluster.py has the real ones."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from cola_search import ray_backend
from cola_search.backend import Lost, Up
from cola_search.cluster_settings import ClusterSettings
from cola_search.errors import UserError
from cola_search.placement import Resources
from cola_search.ray_backend import RayBackend

CPU_NODE = {"CPU": 2.0}
GPU_NODE = {"CPU": 8.0, "GPU": 4.0}


class FakeSlot:
    """A slot whose place is reserved and whose actor answers when the test says so."""

    def __init__(self) -> None:
        self.actor: object = None
        self.replica: int | None = None
        self.start_at = 0.0
        self.failures = 0
        self.placed_at: float | None = None
        self.need: Resources = {}
        self.answers: list[tuple[str, Any]] = []
        self.released = self.joining = False

    def start(self, need: Resources, threads: int, factory: bytes, wake: Any) -> None:
        self.actor, self.need, self.wake, self.factory = object(), need, wake, factory

    def join(self, facts: dict[str, Any]) -> None:
        self.joined, self.joining = facts, True

    def say(self, kind: str, value: Any = None) -> None:
        self.answers.append((kind, value))
        self.wake(self)

    def next_answer(self) -> tuple[str, Any] | None:
        return self.answers.pop(0) if self.answers else None

    def stop(self, now: float, keep_place: bool = True) -> None:
        self.actor = self.replica = self.placed_at = None
        self.joining = False
        self.start_at = now
        self.failures += 1

    def release(self) -> None:
        self.released = True

    def see(self, groups: object, now: float) -> None:
        pass

    @property
    def waiting(self) -> bool:
        return self.actor is not None and self.replica is None and self.placed_at is None

    def loading_seconds(self, now: float) -> float:
        return now - self.placed_at if self.placed_at is not None and self.replica is None else 0.0


class Cluster:
    """What the test says of the nodes and of the time."""

    def __init__(self) -> None:
        self.nodes: list[Resources] = [CPU_NODE]
        self.time = 0.0
        self.private = False

    def total(self) -> Resources:
        return {name: sum(node.get(name, 0.0) for node in self.nodes) for name in ("CPU", "GPU")}

    @contextmanager
    def backend(self, **settings: Any) -> Iterator[RayBackend]:
        backend = RayBackend(ClusterSettings(**settings), lambda: None)  # type: ignore[arg-type, return-value]
        backend.now = lambda: self.time  # type: ignore[method-assign]
        with backend:
            yield backend

    def later(self, backend: RayBackend, seconds: float) -> list[Any]:
        """The events of a look at the cluster so many seconds later."""
        self.time += seconds
        return backend.wait(0.0)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()

    @contextmanager
    def session(address: str | None) -> Iterator[bool]:
        yield cluster.private

    monkeypatch.setattr(ray_backend, "ray_session", session)
    monkeypatch.setattr(ray_backend, "Slot", FakeSlot)
    monkeypatch.setattr(ray_backend, "placement_group_table", dict)
    monkeypatch.setattr(ray_backend, "alive_nodes", lambda: dict(enumerate(cluster.nodes)))
    monkeypatch.setattr(ray_backend.ray, "cluster_resources", cluster.total)
    monkeypatch.setattr(ray_backend.ray, "available_resources", lambda: {"CPU": 0.0})
    return cluster


def slots(backend: RayBackend) -> list[Any]:
    return list(backend.slots)


def test_replicas_follow_the_nodes_that_join_and_leave(cluster: Cluster) -> None:
    with cluster.backend() as backend:
        for number in (1, 2):
            slots(backend)[0].say("up")
            assert cluster.later(backend, 0) == [Up(number)] and (backend.ready, backend.size) == (1, 2)
            slots(backend)[0].say("died", "its process died")
            assert cluster.later(backend, 1) == [Lost(number, "its process died")]
        slots(backend)[0].say("up")
        cluster.later(backend, 0)
        cluster.nodes.append(CPU_NODE)
        cluster.later(backend, 10)
        assert backend.size == 4
        cluster.nodes.clear()
        waiting = slots(backend)[1:]
        cluster.later(backend, 10)
        assert slots(backend) == [backend.up[3]]  # what still works is left alone
        assert all(slot.released for slot in waiting)


def test_a_number_of_replicas_does_not_follow_the_nodes(cluster: Cluster) -> None:
    with cluster.backend(replicas=3) as backend:
        cluster.nodes.append(GPU_NODE)
        cluster.later(backend, 10)
        assert backend.size == 3


def test_gpus_that_join_before_the_first_replica_is_up_are_taken(cluster: Cluster) -> None:
    cluster.nodes.clear()
    with cluster.backend() as backend:
        assert [slot.need for slot in slots(backend)] == [{"CPU": 1.0}]
        cluster.nodes.append(GPU_NODE)
        cluster.later(backend, 2)
        assert [slot.need for slot in slots(backend)] == [{"CPU": 1.0, "GPU": 1.0}] * 4


def test_replicas_that_work_do_not_change_when_gpus_join(cluster: Cluster) -> None:
    with cluster.backend() as backend:
        slots(backend)[0].say("up")
        cluster.later(backend, 0)
        cluster.nodes.append(GPU_NODE)
        cluster.later(backend, 10)
        assert {tuple(slot.need) for slot in slots(backend)} == {("CPU",)}


def test_gpus_that_join_after_the_first_model_is_loaded_are_left_alone_for_it_is_settled_where_the_run_computes(
    cluster: Cluster,
) -> None:
    with cluster.backend() as backend:
        slots(backend)[0].say("loaded", {"model.device": "cpu"})
        cluster.later(backend, 0)
        cluster.nodes.append(GPU_NODE)
        cluster.later(backend, 10)
        assert {tuple(slot.need) for slot in slots(backend)} == {("CPU",)}


def test_what_is_waited_for_is_told_now_and_then_and_in_the_end_given_up(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.nodes.clear()
    with cluster.backend(gpus_per_replica=2, replicas=4, wait_seconds=60.0) as backend:
        cluster.later(backend, 3)
        assert not caplog.records
        for _ in range(55):
            cluster.later(backend, 1)
        lines = [record.message for record in caplog.records]
        assert len(lines) == 2  # after 5 and 35 seconds
        assert "a replica wants CPU 1, GPU 2 on one node (of 4 wanted, 0 up); the cluster has CPU 0, GPU 0" in lines[0]
        with pytest.raises(UserError, match=r"waited 60 s \(cluster\.wait_seconds\)"):
            cluster.later(backend, 5)


def test_waiting_has_no_end_while_one_replica_works(cluster: Cluster) -> None:
    with cluster.backend(replicas=4, wait_seconds=60.0) as backend:
        slots(backend)[0].say("up")
        for _ in range(5):
            cluster.later(backend, 1000)
        assert backend.ready == 1
        slots(backend)[0].say("cut off", "its node or the connection was lost")
        cluster.later(backend, 1000)
        cluster.later(backend, 30)  # from now on nobody works, but not for long yet


def test_a_private_ray_without_room_is_told_at_once(cluster: Cluster) -> None:
    cluster.private = True
    refused = pytest.raises(UserError, match=r"wants CPU 16, GPU 0 on one node.*lower cluster\.cpus_per_replica")
    with refused, cluster.backend(cpus_per_replica=16):
        pass


def test_a_replica_that_loads_for_too_long_is_started_again_and_the_third_ends_the_run(cluster: Cluster) -> None:
    with cluster.backend(replicas=1, start_seconds=100.0) as backend:
        slot = slots(backend)[0]
        for _ in range(2):
            slot.placed_at = cluster.time
            cluster.later(backend, 101)
            assert slot.actor is None
            cluster.later(backend, 2)
            assert slot.actor is not None
        slot.placed_at = cluster.time
        with pytest.raises(
            UserError, match=r"3 replicas in a row .* not loaded within 100 s \(cluster\.start_seconds\)"
        ):
            cluster.later(backend, 101)


def test_a_replica_that_refuses_to_start_does_not_end_a_run_that_works(cluster: Cluster) -> None:
    with cluster.backend(replicas=2) as backend:
        slots(backend)[0].say("up")
        slots(backend)[1].say("refused", "model=x: not on this node")
        assert cluster.later(backend, 0) == [Up(1)]


def test_replicas_that_are_refused_again_and_again_end_a_run_that_has_none_left(cluster: Cluster) -> None:
    with cluster.backend(replicas=1) as backend:
        (slot,) = slots(backend)
        slot.say("up")
        slot.say("died", "its process died")
        assert cluster.later(backend, 0) == [Up(1), Lost(1, "its process died")]
        slot.placed_at = cluster.time
        with pytest.raises(UserError, match=r"3 replicas in a row .*engine\.memory does not fit"):
            for _ in range(3):
                slot.say("refused", "engine.memory does not fit")
                cluster.later(backend, 5)


def test_a_slot_that_always_fails_does_not_end_the_run_when_the_only_working_replica_is_killed(
    cluster: Cluster,
) -> None:
    with cluster.backend(replicas=2) as backend:
        good, bad = slots(backend)
        good.say("up")
        for _ in range(5):
            bad.say("error", "OSError: disk on fire")
            cluster.later(backend, 2)
        good.say("died", "its process died")
        assert cluster.later(backend, 1) == [Lost(1, "its process died")]
        good.placed_at = cluster.time
        for _ in range(5):
            bad.say("error", "OSError: disk on fire")
            assert cluster.later(backend, 2) == []
        good.say("up")
        assert cluster.later(backend, 0) == [Up(2)]


def test_replicas_that_all_fail_to_start_end_the_run_when_none_is_left_to_try(cluster: Cluster) -> None:
    with cluster.backend(replicas=4) as backend:
        for slot in slots(backend):
            slot.placed_at = cluster.time
        for slot in slots(backend)[:3]:
            slot.say("error", "OSError: disk on fire")
        cluster.later(backend, 0)
        slots(backend)[3].say("error", "OSError: disk on fire")
        with pytest.raises(UserError, match="4 replicas in a row"):
            cluster.later(backend, 0)


def test_nodes_that_vanish_while_replicas_load_do_not_end_the_run(cluster: Cluster) -> None:
    with cluster.backend(replicas=1) as backend:
        for _ in range(20):
            slots(backend)[0].say("cut off", "its node or the connection was lost")
            assert cluster.later(backend, 2) == []


def test_everything_is_released_on_the_way_out(cluster: Cluster) -> None:
    with pytest.raises(ZeroDivisionError), cluster.backend() as backend:
        held = slots(backend)
        raise ZeroDivisionError
    assert held and all(slot.released for slot in held)


def test_what_the_first_replica_settles_is_told_to_the_others_and_to_those_made_later(cluster: Cluster) -> None:
    known: dict[str, Any] = {}
    with cluster.backend(replicas=2) as backend:
        backend.factory = partial(dict, known)
        backend.settle = lambda facts: known or (known.update(facts), known)[1]
        first, second = slots(backend)
        first.say("loaded", {"engine.memory": 1})
        second.say("loaded", {"engine.memory": 2})
        assert cluster.later(backend, 0) == [] and first.joined == second.joined == {"engine.memory": 1}
        first.say("up")
        assert cluster.later(backend, 0) == [Up(1)]
        second.say("refused", "model.dtype is float32 on this replica's machine")
        cluster.later(backend, 10)
        assert pickle.loads(second.factory)() == known


def test_a_replica_that_differs_does_not_end_the_run_while_a_good_one_still_joins(cluster: Cluster) -> None:
    with cluster.backend(replicas=2) as backend:
        good, other = slots(backend)
        good.say("loaded", {"model.dtype": "bfloat16"})
        other.say("loaded", {"model.dtype": "float32"})
        cluster.later(backend, 0)
        other.say("refused", "model.dtype is float32 on this replica's machine")
        assert cluster.later(backend, 0) == []
        good.say("up")
        assert cluster.later(backend, 0) == [Up(1)]


def test_a_replica_that_differs_does_not_end_the_run_while_another_loads_for_the_first_time(cluster: Cluster) -> None:
    with cluster.backend(replicas=2) as backend:
        loading, other = slots(backend)
        loading.placed_at = cluster.time
        other.say("loaded", {"model.dtype": "float32"})
        cluster.later(backend, 0)
        other.say("refused", "model.dtype is float32 on this replica's machine")
        assert cluster.later(backend, 0) == []


def test_a_refusal_ends_the_run_at_once_when_every_replica_was_refused(cluster: Cluster) -> None:
    with cluster.backend(replicas=2) as backend:
        for slot in slots(backend):
            slot.say("loaded", {})
        cluster.later(backend, 0)
        slots(backend)[0].say("refused", "task.name=x: its first prompt is too long")
        cluster.later(backend, 0)
        slots(backend)[1].say("refused", "task.name=x: its first prompt is too long")
        with pytest.raises(UserError, match="prompt is too long"):
            cluster.later(backend, 0)
