"""What a user may say about the cluster. Imports nothing heavy, so that every mistake is told before Ray starts."""

import math
from dataclasses import dataclass

from cola_search.errors import UserError

AUTO = "auto"


@dataclass(frozen=True)
class PoolLimits:
    """How the driver's loop hands out work. `call_seconds`: how long one call to a replica may take."""

    samples_per_call: int = 1
    calls_in_flight: int = 2
    call_seconds: float = float("inf")
    max_attempts: int = 2


@dataclass(frozen=True)
class ClusterSettings:
    """Where replicas run and what each of them gets.

    mode: "ray", or "inprocess" (one replica in the driver's own process, for tests and debugging).
    address: None (RAY_ADDRESS, else a private Ray on this machine), "local", "auto", "HOST:PORT" or "ray://HOST:PORT".
    replicas: a number, or "auto": as many as the cluster holds, more when nodes join.
    gpus_per_replica: "auto" (1 where the cluster has GPUs and model.device is not cpu, else 0), a fraction (replicas share
        one GPU; their memory is the user's matter), or a whole number (one model over several GPUs of one node).
    cpus_per_replica: cores to reserve on Ray; also the number of threads that a replica there computes with. In this process
        engine.threads says how many.
    calls_in_flight: calls on their way to one replica, so that it does not wait for the driver.
    deadline_seconds: a replica that takes longer per sample is taken to hang, and is replaced.
    max_attempts: a sample that took this many replicas down becomes an error record.
    retry_given_up: whether a run that goes on in its folder tries such samples again, and those that raised twice; else they
        stay errors.
    wait_seconds: how long to wait while the cluster has no room for a single replica.
    start_seconds: how long a replica may take to load its model.
    """

    mode: str = "ray"
    address: str | None = None
    replicas: int | str = AUTO
    gpus_per_replica: float | str = AUTO
    cpus_per_replica: float = 1.0
    calls_in_flight: int = 2
    deadline_seconds: float = 3600.0
    max_attempts: int = 2
    retry_given_up: bool = False
    wait_seconds: float = 600.0
    start_seconds: float = 1800.0

    def __post_init__(self) -> None:
        if self.mode not in ("ray", "inprocess"):
            raise UserError(f"cluster.mode={self.mode}: must be ray or inprocess")
        if self.replicas != AUTO and (not isinstance(self.replicas, int) or self.replicas < 1):
            raise UserError(f"cluster.replicas={self.replicas}: must be a whole number of at least 1, or auto")
        if self.mode == "inprocess" and self.replicas not in (AUTO, 1):
            raise UserError(f"cluster.replicas={self.replicas}: cluster.mode=inprocess has one replica; use mode=ray")
        self._check_gpus()
        for name in ("calls_in_flight", "max_attempts"):
            if getattr(self, name) < 1:
                raise UserError(f"cluster.{name}={getattr(self, name)}: must be at least 1")
        for name in ("cpus_per_replica", "deadline_seconds", "wait_seconds", "start_seconds"):
            if not getattr(self, name) > 0:
                raise UserError(f"cluster.{name}={getattr(self, name)}: must be above 0")
        if self.cpus_per_replica == math.inf:
            raise UserError("cluster.cpus_per_replica=inf: must be a finite number of cores")

    def _check_gpus(self) -> None:
        gpus = self.gpus_per_replica
        if gpus == AUTO:
            return
        if isinstance(gpus, str) or not 0 <= gpus < math.inf or (gpus > 1 and gpus != int(gpus)):
            raise UserError(
                f"cluster.gpus_per_replica={gpus}: must be auto, 0, a fraction of one GPU, or a whole number of GPUs"
            )

    @property
    def threads(self) -> int:
        """Threads that one replica computes with."""
        return max(1, int(self.cpus_per_replica))

    def limits(self, samples_per_call: int = 1) -> PoolLimits:
        """What `pool.run_pool` needs of these settings, for calls of so many samples."""
        return PoolLimits(
            samples_per_call=samples_per_call,
            calls_in_flight=self.calls_in_flight,
            call_seconds=self.deadline_seconds * samples_per_call,
            max_attempts=self.max_attempts,
        )
