"""What `pool.run_pool` asks of the replicas and hears of them; `cluster.py` and `ray_backend.py` have the backends."""

from dataclasses import dataclass
from typing import Any, Protocol

RawRecord = dict[str, Any]
"""A record as it crosses the network: what `records.Record.to_dict` gives, or an id and an error alone."""


class Worker(Protocol):
    """What a replica holds: a model and the search. It lives in the replica's process."""

    def work(self, sample_ids: list[str]) -> list[RawRecord]:
        """One record a sample, each with its id under "sample"; raise ReplicaBroken if the process is spoilt."""


class ReplicaBroken(RuntimeError):
    """Raised by a worker whose process can compute no more (say, a CUDA error): the replica is replaced."""


@dataclass(frozen=True, slots=True)
class Up:
    """A replica can take work."""

    replica: int


@dataclass(frozen=True, slots=True)
class Done:
    """The oldest call of a replica came back."""

    replica: int
    records: list[RawRecord]


@dataclass(frozen=True, slots=True)
class Failed:
    """The oldest call of a replica raised; the replica lives on."""

    replica: int
    error: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A replica is gone with all its calls. `blame`: its own process died, so what it was doing is a suspect."""

    replica: int
    error: str
    blame: bool = True


Event = Up | Done | Failed | Lost


class ReplicaBackend(Protocol):
    """Processes and time. A replica is a number that is never used again; it exists from its Up to its Lost event."""

    @property
    def size(self) -> int:
        """Replicas that are up or expected."""

    def now(self) -> float:
        """Seconds on a clock that only runs forward."""

    def submit(self, replica: int, sample_ids: list[str]) -> None:
        """Queue one call; the calls of a replica run one after the other, in order."""

    def discard(self, replica: int, error: str) -> None:
        """End a replica that is up and replace it; no event of it follows."""

    def wait(self, seconds: float | None) -> list[Event]:
        """All events so far, in order; blocks until there is one, or for `seconds` and then perhaps returns none."""
