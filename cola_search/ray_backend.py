"""Replicas on a Ray cluster: reserved, started, watched, replaced, and killed on every way out."""

import logging
import queue
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import ray
from ray import cloudpickle
from ray.util.placement_group import placement_group_table

from cola_search.backend import Done, Event, Failed, Lost, Up
from cola_search.cluster_settings import AUTO, ClusterSettings
from cola_search.errors import UserError
from cola_search.placement import Resources, describe, replica_resources, room, wanted_replicas
from cola_search.ray_session import ray_session
from cola_search.replica import Facts
from cola_search.slot import Slot

log = logging.getLogger(__name__)

# How many replicas in a row may fail while they load (raise, die, or be refused) before the run ends, if no other is up or loads.
MAX_BAD_STARTS = {"error": 3, "died": 8, "refused": 3}
TEND_SECONDS = 1.0  # between two looks at the cluster while a replica is missing
CALM_TEND_SECONDS = 5.0  # the same when all are up
TELL_SECONDS = 30.0  # between two lines that say what is waited for


class RayBackend:
    """Replicas on a Ray cluster: reserved, started, watched, replaced, and killed on every way out of the block."""

    def __init__(
        self, settings: ClusterSettings, factory: Callable[[], Any], settle: Callable[[Facts], Facts] = dict
    ) -> None:
        self.settings = settings
        self.factory = factory
        self.settle = settle
        self.slots: list[Slot] = []
        self.up: dict[int, Slot] = {}
        self.woken: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        self.replicas_made = 0
        # Whether what a replica reserves is fixed: by the settings, or by the first replica that loaded its model.
        self.need_settled = settings.gpus_per_replica != AUTO
        self.bad_starts: Counter[str] = Counter()
        self.next_tend = 0.0
        self.next_tell = 0.0
        self.hopeless_since: float | None = None
        self.exits = ExitStack()

    def __enter__(self) -> Self:
        with self.exits:
            self.private = self.exits.enter_context(ray_session(self.settings.address))
            # A private Ray ends with all that it holds; told to end with us, it would be waited for in vain.
            if not self.private:
                self.exits.callback(self._release_all)
            self.need = replica_resources(self.settings, alive_nodes().values())
            self._check_room()
            self.next_tell = self.now() + TELL_SECONDS / 6
            self._tend()
            self.exits = self.exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.exits.__exit__(kind, error, trace)

    @property
    def size(self) -> int:
        return len(self.slots)

    @property
    def ready(self) -> int:
        """Replicas that are up."""
        return len(self.up)

    def now(self) -> float:
        return time.monotonic()

    def submit(self, replica: int, sample_ids: list[str]) -> None:
        self.up[replica].call(sample_ids)

    def discard(self, replica: int, error: str) -> None:
        slot = self.up.pop(replica)
        slot.stop(self.now())
        self.next_tend = 0.0

    def wait(self, seconds: float | None) -> list[Event]:
        end = self.now() + (seconds if seconds is not None else float("inf"))
        while True:
            events = self._collect(max(0.0, min(self.next_tend, end) - self.now()))
            if self.now() >= self.next_tend:
                self._tend()
            if events or self.now() >= end:
                return events

    # -- answers ------------------------------------------------------------------------------------------------------

    def _collect(self, seconds: float) -> list[Event]:
        """The events of the slots that have an answer; waits up to `seconds` for the first."""
        try:
            slots = {id(slot): slot for slot in [self.woken.get(timeout=seconds)]}
        except queue.Empty:
            return []
        while not self.woken.empty():
            slot = self.woken.get()
            slots[id(slot)] = slot
        return [event for slot in slots.values() for event in self._answers(slot)]

    def _answers(self, slot: Slot) -> list[Event]:
        events: list[Event] = []
        while reply := slot.next_answer():
            kind, value = reply
            if slot.replica is None:
                events += self._started(slot, kind, value)
                continue
            self.bad_starts.clear()
            if kind == "records":
                slot.failures = 0
                events.append(Done(slot.replica, value))
            elif kind == "error":
                events.append(Failed(slot.replica, value))
            else:  # "broken", or the actor is gone: "died" (its own process) or "cut off" (its node, the network)
                replica = slot.replica
                self.up.pop(replica)
                slot.stop(self.now(), keep_place=kind != "cut off")
                events.append(Lost(replica, value, blame=kind != "cut off"))
                self.next_tend = 0.0
        return events

    def _started(self, slot: Slot, kind: str, value: Any) -> list[Event]:
        self.need_settled |= kind in ("loaded", "up")
        if kind == "loaded":
            slot.join(self.settle(value))
            return []
        if kind == "up":
            self.replicas_made += 1
            self.bad_starts.clear()
            slot.replica = self.replicas_made
            self.up[slot.replica] = slot
            log.info("replica %d is up, %d of %d", slot.replica, len(self.up), len(self.slots))
            return [Up(slot.replica)]
        log.warning("a replica could not be started: %s", value)
        slot.stop(self.now(), keep_place=False)
        self.bad_starts[kind] += 1
        if kind == "refused" and not self.replicas_made and not self._may_come_up():
            raise UserError(value)
        if self.bad_starts[kind] >= MAX_BAD_STARTS.get(kind, float("inf")) and not self._hope():
            raise UserError(
                f"cluster: {self.bad_starts[kind]} replicas in a row could not be started, the last: {value}"
            )
        return []

    def _may_come_up(self) -> bool:
        """Whether another replica, which has not failed yet, is loading or loaded: it may be the first to take part in the run."""
        return any(
            slot.actor is not None and not slot.failures and (slot.joining or not slot.waiting) for slot in self.slots
        )

    def _hope(self) -> bool:
        """Whether a replica is up, or loads in a slot that did not fail again and again."""
        return bool(self.up) or any(
            slot.actor is not None and not slot.waiting and slot.failures < 2 for slot in self.slots
        )

    # -- the cluster --------------------------------------------------------------------------------------------------

    def _tend(self) -> None:
        """Follow the cluster: more slots when nodes join, fewer when they leave, replicas where they are missing."""
        now = self.now()
        self._resize()
        missing = [slot for slot in self.slots if slot.replica is None]
        groups = placement_group_table() if missing else {}
        for slot in missing:
            if slot.actor is None and now >= slot.start_at:
                factory = cloudpickle.dumps(self.factory)  # anew: it may know by now what the replicas settled
                slot.start(self.need, self.settings.threads, factory, self.woken.put)
            slot.see(groups, now)
            if slot.loading_seconds(now) > self.settings.start_seconds:
                limit = f"{self.settings.start_seconds:g} s (cluster.start_seconds)"
                self._started(slot, "error", f"not loaded within {limit}")
        self._tell(now)
        self.next_tend = now + (TEND_SECONDS if missing else CALM_TEND_SECONDS)

    def _resize(self) -> None:
        nodes = alive_nodes().values() if self.settings.replicas == AUTO or not self.need_settled else []
        if not self.need_settled and (need := replica_resources(self.settings, nodes)) != self.need:
            self._release_all()  # GPUs joined before the first model was loaded: replicas take them
            self.need = need
        target = max(1, wanted_replicas(self.settings, nodes, self.need))
        self.slots += [Slot() for _ in range(target - len(self.slots))]
        surplus = len(self.slots) - target
        for slot in [slot for slot in self.slots if slot.replica is None][: max(0, surplus)]:
            slot.release()
            self.slots.remove(slot)

    def _check_room(self) -> None:
        """A private Ray never grows: say at once what is missing."""
        nodes = alive_nodes()
        if self.private and not any(room(node, self.need) for node in nodes.values()):
            raise UserError(f"{self._shortage(nodes)}; lower cluster.cpus_per_replica or cluster.gpus_per_replica")

    def _shortage(self, nodes: dict[str, Resources]) -> str:
        return (
            f"cluster: a replica wants {describe(self.need)} on one node (of {self.size or 'some'} wanted, "
            f"{len(self.up)} up); the cluster has {describe(ray.cluster_resources())} on {len(nodes)} nodes, "
            f"free now {describe(ray.available_resources())}"
        )

    def _tell(self, now: float) -> None:
        """Say what is waited for; give up when no replica got its resources for too long."""
        if not all(slot.waiting for slot in self.slots):
            self.hopeless_since = None
        elif self.hopeless_since is None:
            self.hopeless_since = now
        elif now - self.hopeless_since > self.settings.wait_seconds:
            waited = f"waited {self.settings.wait_seconds:g} s (cluster.wait_seconds)"
            raise UserError(f"{self._shortage(alive_nodes())}; {waited}")
        if self.hopeless_since is not None and now >= self.next_tell:
            log.warning("%s; waiting", self._shortage(alive_nodes()))
            self.next_tell = now + TELL_SECONDS

    def _release_all(self) -> None:
        for slot in self.slots:
            slot.release()
        self.slots.clear()
        self.up.clear()


def alive_nodes() -> dict[str, Resources]:
    """The resources of each node that is alive, by node id."""
    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
