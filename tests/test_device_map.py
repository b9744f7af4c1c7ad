"""Models that are not on the CPU, or on several devices with accelerate's hooks around every part, by surgery, engine and voids.

Without a GPU all parts are on the CPU and the hooks still run, and make_believe.py notices what would mix two devices; with
one, half of the layers are on it.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from families import tiny
from make_believe import MakeBelieve
from transformers import PreTrainedModel

from cola_search import Chain, ModelScorer, find_voids, load_model, load_task
from cola_search.errors import UserError
from cola_search.model.anatomy import Anatomy
from cola_search.model.caches import CACHE_NAMES, cache_name
from cola_search.model.compatibility import trial_failure
from cola_search.model.config import ModelConfig
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.executor import Executor
from cola_search.model.layer_watch import watch_layers
from cola_search.model.loading import LoadedModel
from cola_search.model.surgery import apply_chain, self_check
from cola_search.model.void_skipping import skip_voids
from cola_search.model.voids import NormRecorder
from cola_search.scoring import verify

CHAINS = [Chain(c) for c in [(0, 1, 2, 3, 4, 5), (1, 4, 1, 4, 5), (0, 0, 5, 2, 3, 3), (5, 0)]]
PLACES = [
    ("cpu", "cpu"),
    pytest.param(("cuda:0", "cpu"), marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
    pytest.param(("cpu", "cuda:0"), marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]


def parts_on(hf: PreTrainedModel, first: str, second: str) -> dict[str, str]:
    """Embeddings and odd layers on the first device; even layers, norm, head and rotary tables on the second."""
    parts = {"model.embed_tokens": first, "model.norm": second, "model.rotary_emb": second, "lm_head": second}
    return parts | {f"model.layers.{i}": first if i % 2 else second for i in range(len(hf.model.layers))}


def spread(hf: PreTrainedModel, first: str, second: str) -> None:
    """Moves the parts to their devices, with the hooks that accelerate's dispatch_model puts there."""
    for name, device in parts_on(hf, first, second).items():
        part = hf.get_submodule(name)
        part.to(device)
        for module in part.modules():
            add_hook_to_module(module, AlignDevicesHook(device, skip_keys=list(CACHE_NAMES)))
    add_hook_to_module(hf, AlignDevicesHook(first, io_same_device=True, skip_keys=list(CACHE_NAMES)))


@pytest.fixture(params=PLACES, ids=str)
def dispatched(request: pytest.FixtureRequest, tiny_folder: Path) -> Iterator[LoadedModel]:
    model = load_model(str(tiny_folder), device="cpu", dtype="float32")
    spread(model.hf, *request.param)
    yield model


@pytest.mark.parametrize("task", ["arc_easy", "arithmetic_short"])
@pytest.mark.parametrize("mode", ["batched", "stock"])
def test_a_spread_model_gives_the_margins_of_the_whole_one(
    dispatched: LoadedModel, tiny_model: LoadedModel, task: str, mode: str
) -> None:
    items = load_task(task, limit=2, chat_template=False)
    settings = EngineSettings(memory="50MB", mode=mode, samples_in_flight=2, mix_samples=True)
    spread_scorer, whole = ModelScorer(dispatched, items, settings), ModelScorer(tiny_model, items, settings)
    work = [(sample, CHAINS) for sample in items]
    for (mine, cost), (wanted, other) in zip(spread_scorer.score_many(work), whole.score_many(work), strict=True):
        assert cost == other
        assert [s.prediction for s in mine] == [s.prediction for s in wanted]
        assert [s.margin for s in mine] == pytest.approx([s.margin for s in wanted], abs=1e-4, nan_ok=True)


def test_a_spread_model_is_verified_by_stock_transformers(dispatched: LoadedModel, tiny_model: LoadedModel) -> None:
    items = load_task("arc_easy", limit=1, chat_template=False)
    scorers = [ModelScorer(model, items, EngineSettings(mode="stock")) for model in (dispatched, tiny_model)]
    for chain in CHAINS:
        mine, wanted = (verify(scorer, items[0], chain) for scorer in scorers)
        assert mine.margin == pytest.approx(wanted.margin, abs=1e-4)


def test_a_repeated_layer_decodes_with_the_cache_as_without_under_hooks(dispatched: LoadedModel) -> None:
    assert self_check(dispatched.hf) < 1e-3


class HookOnly(AlignDevicesHook):
    """Moves what a module is handed, and no weights."""

    def init_hook(self, module: torch.nn.Module) -> torch.nn.Module:
        return module


@pytest.fixture
def on_two_gpus() -> Iterator[PreTrainedModel]:
    """A model on two GPUs that are not there; what mixes them raises."""
    hf, devices = tiny("llama"), MakeBelieve()
    for name, device in parts_on(hf, "cuda:0", "cuda:1").items():
        for module in hf.get_submodule(name).modules():
            for tensor in (*module._parameters.values(), *module._buffers.values()):
                if tensor is not None:
                    devices.put(tensor, device)
            add_hook_to_module(module, HookOnly(device, skip_keys=list(CACHE_NAMES)))
    add_hook_to_module(hf, HookOnly("cuda:0", io_same_device=True, skip_keys=list(CACHE_NAMES)))
    with devices:
        yield hf


@pytest.fixture
def on_a_gpu(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[LoadedModel, MakeBelieve]]:
    """A model on a GPU that is not there; what mixes it with the host raises."""
    model, devices = load_model(str(tiny_folder), device="cpu", dtype="float32"), MakeBelieve()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**9, 10**9))
    devices.put_model(model.hf, "cuda:0")
    with devices:
        yield model, devices


@pytest.mark.parametrize("task", ["arc_easy", "arithmetic_short"])
def test_a_gpu_is_never_mixed_with_the_host(
    on_a_gpu: tuple[LoadedModel, MakeBelieve], tiny_model: LoadedModel, task: str
) -> None:
    items = load_task(task, limit=2, chat_template=False)
    settings = EngineSettings(memory="50MB", mode="batched", samples_in_flight=2, mix_samples=True)
    scorer, host = (ModelScorer(model, items, settings) for model in (on_a_gpu[0], tiny_model))
    work = [(sample, CHAINS) for sample in items]
    for (mine, _), (wanted, _) in zip(scorer.score_many(work), host.score_many(work), strict=True):
        assert [s.margin for s in mine] == pytest.approx([s.margin for s in wanted], abs=1e-4, nan_ok=True)
    alone, wanted_alone = (verify(some, items[0], CHAINS[1]).margin for some in (scorer, host))
    assert alone == pytest.approx(wanted_alone, abs=1e-4, nan_ok=True)
    assert np.array_equal(find_voids(on_a_gpu[0], items[0]).pp, find_voids(tiny_model, items[0]).pp)


def test_a_wave_waits_for_the_gpu_once(on_a_gpu: tuple[LoadedModel, MakeBelieve]) -> None:
    items = load_task("arc_easy", limit=1, chat_template=False)
    scorer = ModelScorer(on_a_gpu[0], items, EngineSettings(memory="50MB", mode="batched"))
    scorer.score(items[0], CHAINS[:1])
    on_a_gpu[1].waits.clear()
    scorer.score(items[0], CHAINS[1:])
    assert on_a_gpu[1].waits == ["cpu"]


@pytest.mark.parametrize("keep_kv", [False, True])
def test_the_engine_never_mixes_two_devices(on_two_gpus: PreTrainedModel, keep_kv: bool) -> None:
    assert trial_failure(Executor(Anatomy(on_two_gpus), 10**6, keep_kv=keep_kv), on_two_gpus) is None


def test_final_states_come_from_every_layer_to_one_device(on_two_gpus: PreTrainedModel) -> None:
    executor = Executor(Anatomy(on_two_gpus), 10**6)
    item = executor.open([[5, 6, 7, 8]], [[3]])
    (rows,) = executor.run([(item, [(0,), (0, 1), (0, 1, 2), (3, 3)])])
    assert [str(row.device) for row in rows] == ["cuda:0"] * 4


def test_surgery_keeps_every_cache_on_its_layers_device(on_two_gpus: PreTrainedModel) -> None:
    assert self_check(on_two_gpus) < 1e-3
    with apply_chain(on_two_gpus, (0, 0, 1, 3)):
        out = on_two_gpus(torch.arange(5, 9, device="cuda:0")[None])
    layers = getattr(out, cache_name(on_two_gpus) or "").layers
    assert [str(layer.keys.device) for layer in layers] == ["cuda:1", "cuda:1", "cuda:0", "cuda:0"]


def test_voids_never_mix_two_devices(on_two_gpus: PreTrainedModel) -> None:
    for how in ("readout", "bypass"):
        with skip_voids(on_two_gpus, how=how):
            on_two_gpus(torch.arange(5, 9, device="cuda:0")[None])
    recorder = NormRecorder()
    with watch_layers(on_two_gpus, recorder):
        on_two_gpus(torch.arange(5, 9, device="cuda:0")[None])
    assert recorder.passes[0].shape == (1, 4, 5)


def test_the_hooks_are_as_they_were_after_a_chain(dispatched: LoadedModel) -> None:
    ids = torch.arange(5, 12, device=dispatched.hf.device)[None]
    before = dispatched.hf(ids).logits
    with apply_chain(dispatched.hf, (0, 0, 3)):
        dispatched.hf(ids)
    assert torch.equal(dispatched.hf(ids).logits, before)
    assert all(vars(layer)["forward"].args == (layer,) for layer in dispatched.hf.model.layers)


def test_voids_of_a_spread_model_are_those_of_the_whole_one(dispatched: LoadedModel, tiny_model: LoadedModel) -> None:
    sample = load_task("arc_easy", limit=1, chat_template=False)[0]
    mine, wanted = find_voids(dispatched, sample), find_voids(tiny_model, sample)
    assert np.array_equal(mine.pp, wanted.pp) and np.array_equal(mine.rg, wanted.rg)


def test_a_forward_that_is_no_hook_of_accelerates_is_still_refused() -> None:
    for hooked in (False, True):
        hf = tiny("llama")
        hf.model.layers[1].forward = lambda hidden_states, **kwargs: hidden_states
        if hooked:
            add_hook_to_module(hf.model.layers[1], AlignDevicesHook("cpu"))
        with pytest.raises(UserError, match="patched"), apply_chain(hf, (0,)):
            pass


@pytest.mark.parametrize("device_map", ["auto", {"model.embed_tokens": "cpu", "model": "cpu", "lm_head": "cpu"}])
def test_a_model_is_loaded_with_a_device_map(tiny_folder: Path, device_map: str | dict[str, int | str]) -> None:
    config = ModelConfig(path=str(tiny_folder), source="local", dtype="float32", device_map=device_map)
    model = load_model(config)
    assert model.device == next(model.hf.parameters()).device
    assert load_model(model.config).device == model.device
    assert model.config.device_map == device_map


def test_weights_that_stay_outside_the_devices_are_refused(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cola_search.model.loading._load_weights", lambda *args: tiny("llama").to("meta"))
    config = ModelConfig(name="m", path=str(tiny_folder), source="local", device_map="auto")
    with pytest.raises(UserError, match=r"model\.device_map=auto leaves weights of m .*cluster\.gpus_per_replica"):
        load_model(config)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"device_map": "everywhere"}, "is not one of auto"), ({"device_map": "auto", "device": "cpu"}, "both set")],
)
def test_a_device_map_that_cannot_be_meant_is_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ModelConfig(name="m", hub_id="a/b", **values)  # type: ignore[arg-type]
