"""Which way chains run: on the executor, one at a time, or not at all."""

import pytest
import torch

from cola_search.errors import UserError
from cola_search.model import engine
from cola_search.model.engine import Engine
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.loading import LoadedModel


def failing(error: Exception):
    def rides(executor: object, hf: object) -> None:
        raise error

    return rides


def test_a_family_that_cannot_ride_runs_one_chain_at_a_time_and_says_so(
    tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine, "rides", failing(TypeError("no packed rows")))
    assert Engine(tiny_model, EngineSettings(memory="50MB"), generates=False).batched is None
    assert "runs one chain at a time" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"), [("no_repeat_ngram_size", 2), ("suppress_tokens", [100]), ("forced_eos_token_id", 0)]
)
def test_a_checkpoint_that_asks_for_more_than_the_likeliest_token_generates_one_chain_at_a_time_and_says_so(
    tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: object
) -> None:
    monkeypatch.setattr(tiny_model.hf.generation_config, name, value)
    assert Engine(tiny_model, EngineSettings(memory="50MB"), generates=True).batched is None
    assert caplog.text.count(f"runs one chain at a time: its generation_config sets {name}") == 1
    with pytest.raises(UserError, match=name):
        Engine(tiny_model, EngineSettings(memory="50MB", mode="batched"), generates=True)
    assert Engine(tiny_model, EngineSettings(memory="50MB"), generates=False).batched is not None


def test_generation_settings_that_ask_for_nothing_keep_a_checkpoint_on_the_engine(
    tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"repetition_penalty": 1.2, "no_repeat_ngram_size": 0, "num_beams": 1, "top_k": 5}.items():
        monkeypatch.setattr(tiny_model.hf.generation_config, name, value)
    assert Engine(tiny_model, EngineSettings(memory="50MB"), generates=True).batched is not None


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_memory_that_does_not_suffice_is_refused_and_not_taken_for_a_family_that_cannot_ride(
    tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(engine, "rides", failing(error))
    with pytest.raises(UserError, match=r"engine\.memory=50MB does not fit"):
        Engine(tiny_model, EngineSettings(memory="50MB"), generates=False)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        OSError("disk on fire"),
    ],
)
def test_a_device_that_fails_ends_the_start_and_is_not_taken_for_a_family_that_cannot_ride(
    tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(engine, "rides", failing(error))
    with pytest.raises(type(error), match=str(error)[:10]):
        Engine(tiny_model, EngineSettings(memory="50MB"), generates=False)


def test_replicas_that_share_a_machine_share_what_is_free_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "free_memory", lambda device: 8_000_000)
    cpu = torch.device("cpu")
    assert engine.memory_bytes("0.5", cpu, sharing=4) == 1_000_000
    assert engine.memory_bytes("2MB", cpu, sharing=4) == 2_000_000
