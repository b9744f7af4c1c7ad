"""The replicas: actors on a Ray cluster, or one worker in this process. `pool.run_pool` drives either.

    with make_backend(settings, factory) as backend:
        for record in run_pool(backend, sample_ids, settings.limits()): ...

`factory` is a picklable callable without arguments (`functools.partial(Worker, worker_settings)`) that makes the worker
inside the replica's process, or a candidate for one, whose facts `settle` turns into those that hold for all replicas.
What crosses the network is sample ids one way and records the other way. Every node needs the same installation of this
package; no runtime_env is used.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from cola_search.backend import Done, Event, Failed, Lost, Up, Worker
from cola_search.cluster_settings import ClusterSettings
from cola_search.replica import Candidate, Facts, answer

if TYPE_CHECKING:
    from cola_search.ray_backend import RayBackend


class InProcessBackend:
    """One replica, here, without Ray: the same loop and the same worker, for tests and debugging."""

    size = 1

    def __init__(self, factory: Callable[[], Any], settle: Callable[[Facts], Facts] = dict) -> None:
        self.factory = factory
        self.settle = settle
        self.worker: Worker | None = None
        self.replica = 0
        self.calls: deque[list[str]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.worker = None

    @property
    def ready(self) -> int:
        """Replicas that are up."""
        return int(self.worker is not None)

    def now(self) -> float:
        return time.monotonic()

    def submit(self, replica: int, sample_ids: list[str]) -> None:
        self.calls.append(sample_ids)

    def discard(self, replica: int, error: str) -> None:
        """A call in this process cannot be ended from outside; its answer has come when this is asked. Start anew."""
        self.worker = None
        self.calls.clear()

    def wait(self, seconds: float | None) -> list[Event]:
        if self.worker is None:
            made = self.factory()
            self.worker = made.join(self.settle(made.facts)) if isinstance(made, Candidate) else made
            self.replica += 1
            return [Up(self.replica)]
        if not self.calls:
            return []
        kind, value = answer(self.worker, self.calls.popleft())
        if kind == "records":
            return [Done(self.replica, value)]
        if kind == "error":
            return [Failed(self.replica, value)]
        self.discard(self.replica, value)
        return [Lost(self.replica, value)]


def make_backend(
    settings: ClusterSettings, factory: Callable[[], Any], settle: Callable[[Facts], Facts] = dict
) -> "InProcessBackend | RayBackend":
    """The backend that `settings.mode` names, to be used in a `with` block."""
    if settings.mode == "inprocess":
        return InProcessBackend(factory, settle)
    from cola_search.ray_backend import RayBackend  # Ray takes half a second to import

    return RayBackend(settings, factory, settle)
