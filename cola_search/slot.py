"""A place for one replica on a Ray cluster: reserved resources, and the actor that uses them now."""

import gc
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cola_search.backend import Worker
from cola_search.placement import Resources
from cola_search.replica import Answer, Candidate, Facts, Replica

log = logging.getLogger(__name__)

MAX_BACKOFF_SECONDS = 60.0


class ReplicaOnNode(Replica):
    """A replica that tells where it lives once it is up: ("up", node id)."""

    def _come_up(self, make: Callable[[], Worker | Candidate]) -> Answer:
        kind, value = super()._come_up(make)
        if kind != "up":
            return kind, value
        gc.freeze()  # packages and the model are there for good: a search need not look through them for garbage
        return kind, ray.get_runtime_context().get_node_id()


ReplicaActor = ray.remote(ReplicaOnNode)


class Slot:
    """Holds one placement group and at most one actor. An actor that dies is replaced in the same place.

    Each slot has a group of its own, not one for the whole pool: work begins when the first place is free, and places
    come and go with the nodes.
    """

    def __init__(self) -> None:
        self.group: PlacementGroup | None = None
        self.actor: Any = None
        self.replica: int | None = None  # its number once it is up
        self.joining = False  # its model is loaded, and it is not up yet
        self.node: str | None = None  # where it is up; the place may have moved on when the actor's end is heard of
        self.failures = 0  # in a row: deaths and bad starts since the last answer
        self.start_at = 0.0  # not before this time (backoff)
        self.placed_at: float | None = None  # when the place was first seen reserved
        self.calls: deque[Future[Answer]] = deque()  # the start is the first of them

    def start(self, need: Resources, threads: int, factory: bytes, wake: Callable[["Slot"], None]) -> None:
        """Reserve the place, if that is not done, and start an actor in it; `wake(slot)` is called on every answer."""
        self.wake = wake
        self.placed_at = None
        if self.group is None:
            self.group = placement_group([need], strategy="STRICT_PACK")
        self.actor = ReplicaActor.options(
            num_cpus=need["CPU"],
            num_gpus=need.get("GPU", 0),
            max_restarts=0,  # the pool replaces actors itself, so that it can count and choose
            max_task_retries=0,
            scheduling_strategy=PlacementGroupSchedulingStrategy(self.group, 0),
        ).remote(threads, gpu="GPU" in need)
        self._watch(self.actor.start.remote(factory))

    def join(self, facts: Facts) -> None:
        """Tell the actor, whose model is loaded, what holds for all replicas."""
        self.joining = True
        self._watch(self.actor.join.remote(facts))

    def call(self, sample_ids: list[str]) -> None:
        """Queue a call on the actor."""
        self._watch(self.actor.work.remote(sample_ids))

    def _watch(self, reference: "ray.ObjectRef[Answer]") -> None:
        future = reference.future()
        self.calls.append(future)
        future.add_done_callback(lambda _: self.wake(self))

    def next_answer(self) -> Answer | None:
        """The answer of the oldest call if it has come: what the actor said, or ("died" | "cut off", text)."""
        if not (self.calls and self.calls[0].done()):
            return None
        try:
            kind, value = self.calls.popleft().result()
        except RayError as error:
            log.debug("a replica is gone: %s", error)
            return self._cause(error)
        if kind == "up":
            self.node, self.joining = value, False
        return kind, value

    def _cause(self, error: RayError) -> Answer:
        """The texts go into records: they name no process, node or address."""
        own = isinstance(error, ActorDiedError) and not error.preempted and self._node_lives()
        if own and getattr(error, "actor_init_failed", False):  # such as a package that is missing on its node
            return "died", f"its process died: {str(error).strip().splitlines()[-1]}"
        if isinstance(error, OutOfMemoryError):  # of the node, not of a GPU: Ray ends a process before the kernel does
            return "died", "its node ran out of memory; lower cluster.replicas or engine.memory"
        if own:
            return "died", "its process died"
        return "cut off", "its node or the connection was lost"

    def stop(self, now: float, keep_place: bool = True) -> None:
        """Kill the actor; the next one starts at once, or after a pause if this happens again and again."""
        self.failures += 1
        again = min(self.failures - 2, 30)  # of some 1,000 failures the power is no float any more
        self.start_at = now + (0.0 if self.failures == 1 else min(MAX_BACKOFF_SECONDS, 2.0**again))
        self._kill()
        if not keep_place:
            self._leave()

    def release(self) -> None:
        """Kill the actor and give the place back."""
        self._kill()
        self._leave()

    def _kill(self) -> None:
        if self.actor is not None:
            with suppress(RayError, ValueError):
                ray.kill(self.actor, no_restart=True)
        self.actor, self.replica, self.node, self.placed_at = None, None, None, None
        self.joining = False
        self.calls.clear()

    def _leave(self) -> None:
        if self.group is not None:
            with suppress(RayError):
                remove_placement_group(self.group)
        self.group = None

    def see(self, groups: dict[str, dict[str, Any]], now: float) -> None:
        """Note when the place is reserved; `groups` is Ray's table of all placement groups."""
        if self.placed_at is None and self.group is not None:
            reserved = groups.get(self.group.id.hex(), {}).get("state") == "CREATED"
            self.placed_at = now if reserved else None

    @property
    def waiting(self) -> bool:
        """Whether the actor waits for its place."""
        return self.actor is not None and self.replica is None and self.placed_at is None

    def loading_seconds(self, now: float) -> float:
        """Seconds since the place was reserved, while the actor is not up."""
        return now - self.placed_at if self.placed_at is not None and self.replica is None else 0.0

    def _node_lives(self) -> bool:
        homes = {self.node}
        if self.node is None:  # it was still loading
            table = placement_group_table(self.group) if self.group is not None else {}
            homes = set(table.get("bundles_to_node_id", {}).values())
        return any(node["Alive"] and node["NodeID"] in homes for node in ray.nodes())
