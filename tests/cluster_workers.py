"""Workers without a model for the tests of the cluster: what they do is told by the sample id."""

import hashlib
import os
import signal
import time
from typing import Any

from cola_search.backend import ReplicaBroken
from cola_search.errors import UserError


class TellingWorker:
    """Answers `id` with a hash of it; an id that begins with a verb makes it do that first."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def work(self, sample_ids: list[str]) -> list[dict[str, Any]]:
        return [self.one(sample_id) for sample_id in sample_ids]

    def one(self, sample_id: str) -> dict[str, Any]:
        time.sleep(self.seconds)
        match sample_id.split("-")[0]:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                time.sleep(1000)
            case "raise":
                raise ValueError("bad sample")
            case "spoil":
                raise ReplicaBroken("CUDA error: device-side assert triggered")
        value = hashlib.sha256(sample_id.encode()).hexdigest()[:8]
        return {"sample": sample_id, "value": value, "error": None, "pid": os.getpid()}


class EnvironmentWorker:
    """Answers with what its process sees."""

    def work(self, sample_ids: list[str]) -> list[dict[str, Any]]:
        time.sleep(0.01)
        names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
        seen = {"error": None, "pid": os.getpid()} | {name: os.environ.get(name) for name in names}
        return [{"sample": sample_id} | seen for sample_id in sample_ids]


def refuses() -> TellingWorker:
    raise UserError("model=nonsense: no such model")


def breaks() -> TellingWorker:
    raise OSError("disk on fire")


def dies() -> TellingWorker:
    os.kill(os.getpid(), signal.SIGKILL)
    return TellingWorker()
