"""What runs in a replica's process: a worker, and a guard that turns what goes wrong into an answer. No Ray import."""

import logging
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from cola_search.backend import ReplicaBroken, Worker
from cola_search.errors import UserError

log = logging.getLogger(__name__)

# An answer is a pair that crosses the network as it is: ("loaded", facts), ("up", None), ("records", [record, ...]),
# ("error", text), ("broken", text: the process can compute no more), ("refused", text: the user must change something).
Answer = tuple[str, Any]
Facts = dict[str, Any]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")


@runtime_checkable
class Candidate(Protocol):
    """A worker whose model is loaded, and which has to hear first what holds for all replicas (settled.py)."""

    facts: Facts

    def join(self, facts: Facts) -> Worker:
        """The worker. Raises UserError if this replica came out other than the run's."""


class Replica:
    """The actor: synchronous, so that its calls run one after the other in the order in which they were sent.

    threads: how many it computes with. gpu: whether a GPU, or a share of one, is reserved for it.
    """

    def __init__(self, threads: int, *, gpu: bool) -> None:
        self.threads = threads
        self.worker: Worker | None = None
        self.candidate: Candidate | None = None
        for name in THREAD_VARIABLES:  # read when numpy and torch are imported, which is why `start` unpickles late
            os.environ[name] = str(threads)
        for name in () if gpu else GPU_VARIABLES:  # Ray shows a process that reserved no GPU all of them
            os.environ[name] = ""
        os.environ["TOKENIZERS_PARALLELISM"] = "false"

    def start(self, factory: bytes) -> Answer:
        """("up", None) once the worker (its model) is there; `factory` is a pickled callable that makes it.

        ("loaded", its facts) where it makes a candidate: then `join` comes next.
        """
        told = self._come_up(lambda: pickle.loads(factory)())
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(self.threads)  # `join` may change it, as engine.threads says
        return told

    def join(self, facts: Facts) -> Answer:
        """("up", None) once the candidate that `start` made has become a worker."""
        assert self.candidate is not None, "start comes first"
        candidate, self.candidate = self.candidate, None
        return self._come_up(lambda: candidate.join(facts))

    def _come_up(self, make: Callable[[], Worker | Candidate]) -> Answer:
        try:
            made = make()
        except UserError as error:
            return "refused", str(error)
        except Exception as error:
            return "error", one_line(error)
        if isinstance(made, Candidate):
            self.candidate = made
            return "loaded", made.facts
        self.worker = made
        return "up", None

    def work(self, sample_ids: list[str]) -> Answer:
        """The worker's records, or what went wrong."""
        assert self.worker is not None, "start comes first"
        return answer(self.worker, sample_ids)


def answer(worker: Worker, sample_ids: list[str]) -> Answer:
    """("records", list), or ("error", text) if the worker raised, or ("broken", text) if its process is spoilt."""
    try:
        return "records", worker.work(sample_ids)
    except Exception as error:
        log.warning("the worker raised on %s", sample_ids, exc_info=True)
        return ("broken" if is_fatal(error) else "error"), one_line(error)


def is_fatal(error: BaseException) -> bool:
    """Whether the process can compute no more: after a CUDA error every call fails. Out of memory is not such."""
    if isinstance(error, ReplicaBroken):
        return True
    name, text = type(error).__name__, str(error)
    return name != "OutOfMemoryError" and (name == "AcceleratorError" or "CUDA error" in text)


def one_line(error: BaseException) -> str:
    """`Type: message (file.py:line)` of an exception, for a record: one line, no folder of this machine."""
    message = " ".join(str(error).split())[:500]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {message}{place}"
