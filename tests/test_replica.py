"""What a replica answers, above all when something goes wrong in it."""

import os
import pickle
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import pytest
from cluster_workers import TellingWorker, breaks, refuses

from cola_search.backend import ReplicaBroken, Worker
from cola_search.errors import UserError
from cola_search.replica import Replica, answer, is_fatal, one_line


class Raising:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def work(self, sample_ids: list[str]) -> list[dict[str, object]]:
        raise self.error


@pytest.fixture(autouse=True)
def threads_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
        monkeypatch.setenv(name, "1")


def start(factory: Callable[[], Worker]) -> tuple[str, object]:
    return Replica(threads=1, gpu=True).start(pickle.dumps(factory))


def test_a_replica_is_up_once_its_worker_is_there() -> None:
    replica = Replica(threads=1, gpu=True)
    assert replica.start(pickle.dumps(partial(TellingWorker, 0.0))) == ("up", None)
    kind, records = replica.work(["a", "b"])
    assert kind == "records" and [record["sample"] for record in records] == ["a", "b"]


class Hopeful:
    """A candidate that only joins those who are like it."""

    facts: ClassVar = {"model.dtype": "float32"}

    def join(self, facts: dict[str, object]) -> Worker:
        if facts != self.facts:
            raise UserError("model.dtype: not ours")
        return TellingWorker(0.0)


def test_a_candidate_tells_its_facts_and_is_up_once_it_has_joined_the_others() -> None:
    replica = Replica(threads=1, gpu=True)
    for facts, answered in (
        ({"model.dtype": "bfloat16"}, ("refused", "model.dtype: not ours")),
        (Hopeful.facts, ("up", None)),
    ):
        assert replica.start(pickle.dumps(Hopeful)) == ("loaded", Hopeful.facts)
        assert replica.join(facts) == answered
    assert replica.work(["a"])[0] == "records"


class Threaded(Hopeful):
    """A candidate whose engine wants a number of threads of its own."""

    def join(self, facts: dict[str, object]) -> Worker:
        import torch

        torch.set_num_threads(1)
        return super().join(facts)


def test_the_threads_that_the_engine_sets_stand() -> None:
    import torch

    before = torch.get_num_threads()
    try:
        replica = Replica(threads=2, gpu=True)
        replica.start(pickle.dumps(Threaded))
        assert torch.get_num_threads() == 2
        assert replica.join(Threaded.facts) == ("up", None) and torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_threads_are_set_before_the_worker_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    Replica(threads=3, gpu=True)
    assert os.environ["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(("gpu", "seen"), [(True, "0,1"), (False, "")])
def test_a_replica_that_reserved_no_gpu_sees_none(gpu: bool, seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "0,1")
    Replica(threads=1, gpu=gpu)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == os.environ["HIP_VISIBLE_DEVICES"] == seen


def test_what_the_user_must_change_is_told_apart_from_what_broke() -> None:
    assert start(refuses) == ("refused", "model=nonsense: no such model")
    assert start(breaks)[0] == "error"


def test_an_exception_of_the_worker_is_an_answer_in_one_line_without_folders() -> None:
    kind, text = answer(Raising(ValueError("bad\n  input")), ["a"])
    assert kind == "error" and text.startswith("ValueError: bad input (test_replica.py:") and "/" not in text


def test_a_stop_from_the_keyboard_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        answer(Raising(KeyboardInterrupt()), ["a"])


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class AcceleratorError(RuntimeError):
    """Named as torch's."""


@pytest.mark.parametrize(
    ("error", "fatal"),
    [
        (ReplicaBroken("spoilt"), True),
        (AcceleratorError("an illegal memory access"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (OutOfMemoryError("CUDA out of memory. CUDA error: ..."), False),
        (ValueError("bad"), False),
    ],
)
def test_only_an_error_that_spoils_the_process_is_fatal(error: Exception, fatal: bool) -> None:
    assert is_fatal(error) is fatal
    assert answer(Raising(error), ["a"])[0] == ("broken" if fatal else "error")


def test_a_long_message_is_cut() -> None:
    assert len(one_line(ValueError("x" * 10_000))) < 600
