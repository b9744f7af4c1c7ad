"""Replicas that are timers: the backend of `scale.py` and of the tests of the driver's loop."""

import heapq
import time
from collections import deque
from collections.abc import Callable

from cola_search.backend import Done, Event, Lost, Up

# What comes of a call: (replica, sample ids) -> its event, or None if the replica hangs.
Fate = Callable[[int, list[str]], Event | None]


def always_answers(replica: int, sample_ids: list[str]) -> Event | None:
    """The event of a replica that works: one record a sample."""
    return Done(replica, [{"sample": sample_id, "error": None} for sample_id in sample_ids])


class SimulatedBackend:
    """`replicas` replicas that come up at `start_seconds(replica)` and take `seconds(sample_id)` for a sample.

    Time is simulated. With `count_driver` the real time that the driver spends between two waits is added to it, so
    that a driver that is too slow for its replicas shows as idle replicas. A lost replica is replaced after
    `restart_seconds`.
    """

    def __init__(
        self,
        replicas: int,
        seconds: Callable[[str], float],
        fate: Fate = always_answers,
        start_seconds: Callable[[int], float] = lambda replica: 0.0,
        restart_seconds: float = 1.0,
        count_driver: bool = False,
    ) -> None:
        self.size = replicas
        self.seconds = seconds
        self.fate = fate
        self.restart_seconds = restart_seconds
        self.count_driver = count_driver
        self.time = 0.0
        self.busy_seconds = 0.0
        self.calls: dict[int, deque[list[str]]] = {}
        self.agenda: list[tuple[float, int, str]] = []  # (when, replica, "up" | "end" of its first call)
        self.replicas_made = 0
        self.left_at = time.perf_counter()
        for _ in range(replicas):
            self._plan_replica(start_seconds(self.replicas_made + 1))

    def now(self) -> float:
        return self.time + (time.perf_counter() - self.left_at if self.count_driver else 0.0)

    def submit(self, replica: int, sample_ids: list[str]) -> None:
        self.calls[replica].append(sample_ids)
        if len(self.calls[replica]) == 1:
            self._begin(replica, self.now())

    def discard(self, replica: int, error: str) -> None:
        del self.calls[replica]
        self._plan_replica(self.now() + self.restart_seconds)

    def wait(self, seconds: float | None) -> list[Event]:
        self.time = self.now()
        until = self.agenda[0][0] if self.agenda else float("inf")
        if seconds is not None:
            until = min(until, self.time + seconds)
        assert until < float("inf"), "the driver would wait for ever"
        self.time = max(self.time, until)
        events: list[Event] = []
        while self.agenda and self.agenda[0][0] <= self.time:
            events += self._happen(*heapq.heappop(self.agenda))
        self.left_at = time.perf_counter()
        return events

    def _plan_replica(self, when: float) -> None:
        self.replicas_made += 1
        heapq.heappush(self.agenda, (when, self.replicas_made, "up"))

    def _begin(self, replica: int, when: float) -> None:
        took = sum(map(self.seconds, self.calls[replica][0]))
        self.busy_seconds += took
        heapq.heappush(self.agenda, (when + took, replica, "end"))

    def _happen(self, when: float, replica: int, what: str) -> list[Event]:
        if what == "up":
            self.calls[replica] = deque()
            return [Up(replica)]
        event = self.fate(replica, self.calls[replica][0]) if replica in self.calls else None
        if event is None:
            return []
        self.calls[replica].popleft()
        if isinstance(event, Lost):
            self.discard(replica, event.error)
        elif self.calls[replica]:
            self._begin(replica, when)
        return [event]
