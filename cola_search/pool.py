"""The driver's loop: sample ids go out to replicas, records come back, whatever dies on the way. No Ray, no clock here.

The backend (`cluster.RayBackend`, `cluster.InProcessBackend`, or a fake) owns processes and time; this module owns who
gets which sample, how often a sample that takes its replica down or raises is tried again, and when a replica is sick.
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cola_search.backend import Done, Event, Failed, Lost, RawRecord, ReplicaBackend, Up
from cola_search.cluster_settings import PoolLimits
from cola_search.errors import UserError

log = logging.getLogger(__name__)

GIVEN_UP = "given up, "  # how the error of every record that is made here begins
MAX_LOSSES = 10  # a sample that was lost this often for any reason (nodes that vanish, ...) is given up
MAX_RAISED = 3  # a replica with so many calls in a row that raised is sick: it is replaced
MAX_SICK = 3  # rounds of replacing all replicas, with no call answered in between, after which the run ends


@dataclass(slots=True)
class _Trouble:
    deaths: int = 0  # processes that died while they had this sample and no other
    losses: int = 0  # calls with this sample that never came back
    raised_on: int | None = None  # the replica on which it raised, with no other sample in the call


@dataclass
class Pool:
    """The state of one run. What it holds grows with the number of replicas, not with the number of samples."""

    backend: ReplicaBackend
    source: Iterator[str]
    limits: PoolLimits
    ahead: deque[str] = field(default_factory=deque)  # read from the source, not handed out yet
    alone: deque[str] = field(default_factory=deque)  # to be tried again, one a call
    trouble: dict[str, _Trouble] = field(default_factory=dict)
    calls: dict[int, deque[list[str]]] = field(default_factory=dict)  # replica -> its calls, the running one first
    running: dict[int, float] = field(default_factory=dict)  # replica -> when its first call began; oldest first
    raised: dict[int, list[str]] = field(default_factory=dict)  # replica -> errors of its last calls, if they raised
    proven: set[int] = field(default_factory=set)  # replicas whose last call was answered
    sick: int = 0  # replicas replaced because they raised, since a call was answered
    by_depth: list[dict[int, None]] = field(default_factory=list)  # [d] = replicas with d calls, room for more

    def __post_init__(self) -> None:
        self.by_depth = [{} for _ in range(self.limits.calls_in_flight)]

    def run(self) -> Iterator[RawRecord]:
        """The records of `lumps`, one by one."""
        for records in self.lumps():
            yield from records

    def lumps(self) -> Iterator[list[RawRecord]]:
        """Records in the order in which they arrive, one a sample; those that came together in one list."""
        while self._hand_out():
            records: list[RawRecord] = []
            for event in self.backend.wait(self._seconds_left()):
                records += self._take(event)
            records += self._expire()
            # A slow consumer must not keep the replicas waiting: new work goes out before the records do.
            self._hand_out()
            if records:
                yield records

    # -- handing out --------------------------------------------------------------------------------------------------

    def _hand_out(self) -> bool:
        """Whether anything is left to do, after every replica with room got a call."""
        kept = self._hand_out_alone()
        for depth, replicas in enumerate(self.by_depth):
            while (replica := next((each for each in replicas if each not in kept), None)) is not None:
                if not (sample_ids := self._next_call(queued=depth > 0)):
                    break
                self._send(replica, sample_ids)
        return bool(self.running or self.alone or self.ahead or self._read(1))

    def _hand_out_alone(self) -> set[int]:
        """Start samples that go alone on idle replicas; returns those that get no more calls, to be idle soon for the rest."""
        kept: set[int] = set()
        waiting = list(self.alone)
        for depth, replicas in enumerate(self.by_depth):
            for replica in list(replicas) if waiting else []:
                sample_id = next((sample_id for sample_id in waiting if self._may_try(replica, sample_id)), None)
                if sample_id is None:
                    continue
                waiting.remove(sample_id)
                if depth:
                    kept.add(replica)
                else:
                    self.alone.remove(sample_id)
                    self._send(replica, [sample_id])
        return kept

    def _may_try(self, replica: int, sample_id: str) -> bool:
        """Whether the sample may run on the replica: one that raised goes to another replica, a sound one if there is any."""
        raised_on = self.trouble[sample_id].raised_on if sample_id in self.trouble else None
        for group in (self.proven, self.calls) if raised_on is not None else ():
            if any(other != raised_on for other in group):
                return replica in group and replica != raised_on
        return True

    def _send(self, replica: int, sample_ids: list[str]) -> None:
        self._move(replica, +1, sample_ids)
        if len(self.calls[replica]) == 1:
            self.running[replica] = self.backend.now()
        self.backend.submit(replica, sample_ids)

    def _next_call(self, queued: bool) -> list[str]:
        """Sample ids of the next call, or none. `queued`: it would wait behind another call on its replica."""
        size, batch = max(self.backend.size, len(self.calls), 1), self.limits.samples_per_call
        if queued and not self._read((size + 1) * batch):
            return []  # the end is near: nothing waits on one replica that another could start soon
        if not self._read(size * batch):
            batch = min(batch, -(-len(self.ahead) // size))  # the rest is shared out
        return [self.ahead.popleft() for _ in range(batch)]

    def _read(self, count: int) -> bool:
        """Whether `count` ids could be read ahead."""
        while len(self.ahead) < count:
            sample_id = next(self.source, None)
            if sample_id is None:
                return False
            self.ahead.append(sample_id)
        return True

    def _move(self, replica: int, change: int, sample_ids: list[str]) -> None:
        """Add a call to the end of a replica's queue (+1), or take its first one off (-1)."""
        calls = self.calls[replica]
        for replicas in self.by_depth:
            replicas.pop(replica, None)
        if change > 0:
            calls.append(sample_ids)
        else:
            calls.popleft()
        if len(calls) < len(self.by_depth):
            self.by_depth[len(calls)][replica] = None

    # -- taking in ----------------------------------------------------------------------------------------------------

    def _take(self, event: Event) -> list[RawRecord]:
        match event:
            case Up(replica):
                self.calls[replica] = deque()
                self.by_depth[0][replica] = None
                return []
            case Done(replica, records):
                self.raised.pop(replica, None)
                self.proven.add(replica)
                self.sick = 0
                return self._accept(self._finish_call(replica), records)
            case Failed(replica, error):
                self.raised.setdefault(replica, []).append(error)
                self.proven.discard(replica)
                return self._failed(replica, self._finish_call(replica), error)
            case Lost(replica, error, blame):
                return self._lost(replica, error, blame)

    def _finish_call(self, replica: int) -> list[str]:
        """The sample ids of the call that ended; the next one on that replica begins."""
        sample_ids = self.calls[replica][0]
        self._move(replica, -1, sample_ids)
        self.running.pop(replica)
        if self.calls[replica]:
            self.running[replica] = self.backend.now()
        return sample_ids

    def _accept(self, sample_ids: list[str], records: list[RawRecord]) -> list[RawRecord]:
        found = {record.get("sample"): record for record in records}
        for sample_id in sample_ids:
            self.trouble.pop(sample_id, None)
            if sample_id not in found:
                found[sample_id] = _given_up(sample_id, "the worker returned no record")
        return [found[sample_id] for sample_id in sample_ids]

    def _failed(self, replica: int, sample_ids: list[str], error: str) -> list[RawRecord]:
        if len(sample_ids) > 1:
            self.alone.extend(sample_ids)  # one of them raised: alone, the others succeed
            return []
        trouble = self.trouble.setdefault(sample_ids[0], _Trouble())
        if trouble.raised_on is None:  # the replica may be sick
            trouble.raised_on = replica
            self.alone.append(sample_ids[0])
            return []
        del self.trouble[sample_ids[0]]
        return [_given_up(sample_ids[0], f"it raised twice: {error}")]

    def _lost(self, replica: int, error: str, blame: bool) -> list[RawRecord]:
        log.warning("replica %d was lost: %s", replica, error)
        self.running.pop(replica, None)
        self.raised.pop(replica, None)
        self.proven.discard(replica)
        for replicas in self.by_depth:
            replicas.pop(replica, None)
        calls = self.calls.pop(replica)
        records: list[RawRecord] = []
        if calls:
            records += self._retry(calls.popleft(), error, blame)
        not_begun = [sample_id for sample_ids in calls for sample_id in sample_ids]
        self.ahead.extendleft(reversed(not_begun))
        return records

    def _retry(self, sample_ids: list[str], error: str, blame: bool) -> list[RawRecord]:
        """Error records of the samples that are given up; the others are tried again, each alone.

        Only a death in a call of one sample counts against that sample: neighbours of a bad sample are not condemned.
        """
        given_up = []
        most = max(MAX_LOSSES, self.limits.max_attempts)
        for sample_id in sample_ids:
            trouble = self.trouble.setdefault(sample_id, _Trouble())
            trouble.losses += 1
            trouble.deaths += int(blame and len(sample_ids) == 1)
            if trouble.deaths >= self.limits.max_attempts or trouble.losses >= most:
                del self.trouble[sample_id]
                given_up.append(_given_up(sample_id, f"its replica was lost every time: {error}"))
            else:
                self.alone.append(sample_id)
        return given_up

    # -- time ---------------------------------------------------------------------------------------------------------

    def _seconds_left(self) -> float | None:
        if not self.running:
            return None
        return max(0.0, next(iter(self.running.values())) + self.limits.call_seconds - self.backend.now())

    def _expire(self) -> list[RawRecord]:
        """Replace the replicas that are sick or whose call takes too long, after all events of `wait` were taken in."""
        records: list[RawRecord] = []
        for replica, errors in list(self.raised.items()):
            if len(errors) >= MAX_RAISED:
                error = f"{len(errors)} calls in a row raised, the last: {errors[-1]}"
                records += self._replace(replica, error, blame=False)
                self._count_sick(errors[-1])
        while self.running and self._seconds_left() == 0.0:
            error = f"no answer within {self.limits.call_seconds:g} s (cluster.deadline_seconds)"
            records += self._replace(next(iter(self.running)), error, blame=True)
        return records

    def _count_sick(self, error: str) -> None:
        """Ends the run where new replicas raise as the old ones did: it is not the replicas."""
        self.sick += 1
        if self.sick >= MAX_SICK * max(self.backend.size, len(self.calls), 1):
            raise UserError(
                f"{self.sick} replicas in a row raised on all that they were given, the last: {error}. Mend that and give "
                "the same command; cluster.retry_given_up=true tries the samples again that were given up."
            )

    def _replace(self, replica: int, error: str, blame: bool) -> list[RawRecord]:
        self.backend.discard(replica, error)
        return self._lost(replica, error, blame)


def run_pool(backend: ReplicaBackend, work: Iterable[str], limits: PoolLimits | None = None) -> Iterator[RawRecord]:
    """Yield one record a sample id of `work`, in order of arrival; ids are read as they are needed.

    A sample that takes its replica down `limits.max_attempts` times, or raises on two replicas, yields an error record
    `{"sample": id, "error": text}`, its text beginning with GIVEN_UP. Raises what the
    backend raises (UserError when no replica can be had), and UserError when replicas raise on everything however often they
    are replaced.
    """
    return Pool(backend, iter(work), limits or PoolLimits()).run()


def _given_up(sample_id: str, error: str) -> RawRecord:
    """A record that says why there is no result."""
    return {"sample": sample_id, "error": f"{GIVEN_UP}{error}"}
