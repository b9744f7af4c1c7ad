"""Which way chains run: on the executor, one at a time, or not at all."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from families import tiny
from lm_eval.api.instance import Instance
from test_compatibility import DYNAMIC, LONGROPE

from cola_search.chain import Chain
from cola_search.errors import UserError
from cola_search.model import engine as engine_module
from cola_search.model.engine import Engine
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.loading import LoadedModel
from cola_search.model.surgery import apply_chain

SETTINGS = EngineSettings(memory="50MB")
CHAINS = [Chain((0, 1, 2, 3)), Chain((0, 2, 2, 3)), Chain((1, 3))]


def of_family(model: LoadedModel, family: str, **sizes: Any) -> LoadedModel:
    """The tiny model with its weights exchanged for a random model of another family."""
    return replace(model, hf=tiny(family, vocab_size=259, **sizes), num_layers=4)


def sample_of(kind: Any, *arguments: tuple, target: str | None = None) -> Any:
    requests = [Instance(request_type=kind, doc={}, arguments=one, idx=i) for i, one in enumerate(arguments)]
    return SimpleNamespace(id="s", requests=requests, target_text=target)


def generation(length: int, new: int, target: str | None = None, **asked: Any) -> Any:
    """A sample with a prompt of so many letters that asks for so many tokens."""
    text = "abcdefghij" * (length // 10 + 1)
    return sample_of(
        "generate_until", (text[:length], {"until": ["\n\n"], "max_gen_toks": new, **asked}), target=target
    )


def expect_stock(engine: Engine, samples: list[Any], chains: list[Chain]) -> None:
    """All samples' answers, asked for together, against the reference's."""
    sessions = [engine.open(sample) for sample in samples]
    for sample, answers in zip(samples, engine.answer([(one, chains) for one in sessions]), strict=True):
        for chain, answer in zip(chains, answers, strict=True):
            wanted = engine.stock.responses(sample, chain)
            if engine.generates:
                assert answer.responses == wanted
                continue
            for (value, greedy), (stock_value, stock_greedy) in zip(answer.responses, wanted, strict=True):
                assert value == pytest.approx(stock_value, abs=1e-3)
                assert greedy == stock_greedy


@pytest.mark.parametrize("generates", [False, True])
def test_answers_are_the_same_to_the_bit_whoever_is_beside_in_bfloat16_on_a_cpu(
    tiny_model: LoadedModel, generates: bool
) -> None:
    model = of_family(tiny_model, "llama", max_position_embeddings=256, hidden_size=512, intermediate_size=4864)
    model = replace(model, hf=model.hf.to(torch.bfloat16), dtype=torch.bfloat16)  # type: ignore[arg-type]
    # 32 rows at once: of more, a CPU with AMX adds up a product in an order that depends on how many there are
    settings = replace(SETTINGS, mode="batched", mix_samples=True, samples_in_flight=12, max_batch_tokens=32)
    engine = Engine(model, settings, generates=generates)
    samples = [generation(length, 6, target="ab") for length in (11, 31, 21, 30)]
    if not generates:  # letters after a prompt, of which one row is read
        samples = [sample_of("loglikelihood", *((f"{n} is it? {n}", end) for end in "AB")) for n in range(100, 108)]
    together = engine.answer([(engine.open(sample), CHAINS) for sample in samples])
    alone = [[engine.answer([(engine.open(sample), [chain])])[0][0] for chain in CHAINS] for sample in samples]
    assert repr(together) == repr(alone)  # margins may be no numbers


def failing(error: Exception):
    def trial_failure(executor: object, hf: object) -> None:
        raise error

    return trial_failure


def test_a_family_that_cannot_ride_runs_one_chain_at_a_time_and_says_so(
    tiny_model: LoadedModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine_module, "trial_failure", failing(TypeError("no packed rows")))
    assert Engine(tiny_model, EngineSettings(memory="50MB"), generates=False).batched is None
    assert "runs one chain at a time" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("no_repeat_ngram_size", 2),
        ("suppress_tokens", [100]),
        ("forced_eos_token_id", 0),
        ("max_new_tokens", 4),
        ("max_time", 0.1),
        ("stop_strings", ["a"]),
    ],
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
    monkeypatch.setattr(engine_module, "trial_failure", failing(error))
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
    monkeypatch.setattr(engine_module, "trial_failure", failing(error))
    with pytest.raises(type(error), match=str(error)[:10]):
        Engine(tiny_model, EngineSettings(memory="50MB"), generates=False)


def test_replicas_that_share_a_machine_share_what_is_free_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "free_memory", lambda device: 8_000_000)
    cpu = torch.device("cpu")
    assert engine_module.memory_bytes("0.5", cpu, sharing=4) == 1_000_000
    assert engine_module.memory_bytes("2MB", cpu, sharing=4) == 2_000_000


@pytest.mark.parametrize(
    "asked",
    [
        {"num_beams": 4},
        {"repetition_penalty": 1.8},
        {"no_repeat_ngram_size": 2},
        {"max_length": 20},
        {"min_new_tokens": 12},
        {"eos_token_id": list(range(3, 259, 2))},
    ],
)
def test_what_a_task_asks_of_its_generation_is_followed_one_chain_at_a_time_and_said_once(
    tiny_model: LoadedModel, caplog: pytest.LogCaptureFixture, asked: dict
) -> None:
    engine = Engine(tiny_model, replace(SETTINGS, mix_samples=True, samples_in_flight=3), generates=True)
    assert engine.batched is not None
    expect_stock(engine, [generation(11, 16, **asked), generation(8, 16), generation(9, 16, **asked)], CHAINS)
    assert caplog.text.count(f"runs one chain at a time: the task's generation_kwargs set {next(iter(asked))}") == 1
    with pytest.raises(UserError, match=r"engine\.mode=batched is not possible for sample 's'"):
        Engine(tiny_model, replace(SETTINGS, mode="batched"), generates=True).open(generation(11, 16, **asked))


@pytest.mark.parametrize("rope", [LONGROPE, DYNAMIC])
def test_a_sample_that_crosses_a_switch_of_rotary_frequencies_runs_one_chain_at_a_time(
    tiny_model: LoadedModel, caplog: pytest.LogCaptureFixture, rope: dict
) -> None:
    sizes = {"max_position_embeddings": 128, "original_max_position_embeddings": 32} if rope is LONGROPE else {}
    model = of_family(tiny_model, "phi3" if rope is LONGROPE else "llama", rope_parameters=rope, **sizes)
    limit = 32 if rope is LONGROPE else 64
    prompt = "x" * (limit - 2)
    scored = sample_of("loglikelihood", (prompt, "a"), (prompt, "abcdef"[: 6 if rope is LONGROPE else 3]))
    engine = Engine(model, SETTINGS, generates=False)
    assert isinstance(engine.open(scored), engine_module.StockSession)
    expect_stock(engine, [scored], CHAINS)
    assert caplog.text.count(f"beyond {limit} tokens, where the model changes its rotary frequencies") == 1
    fits = sample_of("loglikelihood", (prompt, "a"), (prompt, "bc"))
    assert isinstance(engine.open(fits), engine_module.BatchedSession)
    expect_stock(engine, [fits], CHAINS)


def test_a_generation_that_crosses_a_switch_of_rotary_frequencies_runs_one_chain_at_a_time(
    tiny_model: LoadedModel,
) -> None:
    model = of_family(tiny_model, "phi3", rope_parameters={**LONGROPE}, max_position_embeddings=128)
    engine = Engine(model, SETTINGS, generates=True)
    expect_stock(engine, [generation(28, 12), generation(20, 12)], CHAINS)
    model.hf.config.rope_parameters["original_max_position_embeddings"] = 64
    engine = Engine(model, SETTINGS, generates=True)
    assert isinstance(engine.open(generation(30, 34)), engine_module.BatchedSession)
    assert isinstance(engine.open(generation(30, 35)), engine_module.StockSession)
    assert isinstance(engine.open(generation(33, 2)), engine_module.StockSession)  # a gold answer goes further


@pytest.mark.parametrize("generates", [False, True])
def test_attention_that_a_layer_scales_by_the_place_of_a_row_is_that_of_stock_on_either_side_of_where_it_begins(
    tiny_model: LoadedModel, generates: bool
) -> None:
    scaled = {"floor_scale": 40, "attn_scale": 2.0, "no_rope_layers": [1, 0, 1, 0], "max_position_embeddings": 256}
    model = of_family(tiny_model, "llama4_text", **scaled)
    engine = Engine(model, replace(SETTINGS, mix_samples=True, samples_in_flight=4), generates=generates)
    text = "abcdefghij" * 6
    if generates:
        samples = [generation(length, 3) for length in (5, 36, 37, 50)]
    else:
        ends = [("ab", "cd"), ("ab", "cd"), ("abcd", "efghi"), ("ab", "c")]
        samples = [
            sample_of("loglikelihood", *((text[:length], end) for end in some))
            for length, some in zip((20, 22, 31, 50), ends, strict=True)
        ]
    rides = [isinstance(engine.open(sample), engine_module.BatchedSession) for sample in samples]
    assert rides == ([True, False, False, False] if generates else [True, True, False, False])
    expect_stock(engine, samples, CHAINS)


@pytest.mark.parametrize("generates", [False, True])
def test_a_local_window_that_a_layer_counts_in_rows_is_that_of_stock_on_either_side_of_its_length(
    tiny_model: LoadedModel, generates: bool
) -> None:
    model = of_family(tiny_model, "gpt_neo", window_size=36, max_position_embeddings=256)
    engine = Engine(model, replace(SETTINGS, mix_samples=True, samples_in_flight=4), generates=generates)
    text = "abcdefghij" * 6
    if generates:
        samples = [generation(length, 6, target="42") for length in (4, 25)]
    else:
        ends = [["abcdefgh", "cdefghij"], ["abcdefgh", "cdefghijk"]]
        samples = [sample_of("loglikelihood", *((text[:20], end) for end in some)) for some in ends]
    samples.append(generation(50, 6) if generates else sample_of("loglikelihood", (text[:40], "ab"), (text[:40], "cd")))
    rides = [isinstance(engine.open(sample), engine_module.BatchedSession) for sample in samples]
    assert rides == [True, False, False]
    expect_stock(engine, samples, CHAINS)


@pytest.mark.parametrize("family", ["qwen3_next", "lfm2"])
def test_a_chain_without_an_attention_layer_has_the_answers_that_it_has_without_a_cache(
    tiny_model: LoadedModel, family: str
) -> None:
    kinds = {"layer_types": ["conv", "conv", "full_attention", "conv"]} if family == "lfm2" else {}
    model = of_family(tiny_model, family, max_position_embeddings=256, **kinds)
    before, chain = vars(model.hf).keys(), Chain((0, 1, 1))
    hooks = len(model.hf._forward_pre_hooks)
    encode = model.tokenizer.encode
    (answer,), (written,) = (
        engine.answer([(engine.open(sample), [chain])])[0]
        for engine, sample in (
            (Engine(model, SETTINGS, generates=False), sample_of("loglikelihood", ("hello", "!"))),
            (Engine(model, SETTINGS, generates=True), generation(12, 8)),
        )
    )
    with torch.inference_mode(), apply_chain(model.hf, chain):
        logits = model.hf(torch.tensor([encode("hello")]), use_cache=False).logits[0, -1]
        tokens = encode("abcdefghijab")
        while len(tokens) < 20 and tokens[-1] != 2:
            tokens.append(int(model.hf(torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax()))
    assert answer.responses[0][0] == pytest.approx(float(logits.log_softmax(-1)[encode("!")[0]]), abs=1e-4)
    assert written.responses == [model.tokenizer.decode(tokens[12:], skip_special_tokens=True)]
    assert vars(model.hf).keys() == before and len(model.hf._forward_pre_hooks) == hooks


def test_a_prompt_near_the_end_of_learned_positions_runs_whatever_the_number_of_positions(
    tiny_model: LoadedModel,
) -> None:
    model = of_family(tiny_model, "gpt2", max_position_embeddings=100)
    scored = sample_of("loglikelihood", ("x" * 80, " yes"), ("x" * 80, " no"))
    expect_stock(Engine(model, replace(SETTINGS, mode="batched"), generates=False), [scored], CHAINS)
    mixed = replace(SETTINGS, mode="batched", mix_samples=True, samples_in_flight=2)
    expect_stock(Engine(model, mixed, generates=True), [generation(90, 10), generation(20, 80)], CHAINS)


def test_a_gold_answer_that_does_not_fit_behind_the_prompt_is_cut(tiny_model: LoadedModel) -> None:
    model = of_family(tiny_model, "gpt2", max_position_embeddings=128)
    engine = Engine(model, replace(SETTINGS, mode="batched"), generates=True)
    sample = generation(124, 2, target="a long gold answer")
    expect_stock(engine, [sample], CHAINS)
    session = engine.open(sample)
    assert len(session.tokens) == 5  # four are read behind the prompt, and the next one scored
    assert not math.isnan(engine.answer([(session, CHAINS[:1])])[0][0].gold_margin)


def test_of_equally_likely_tokens_the_first_is_greedy_as_in_stock_and_the_others_are_a_near_tie(
    tiny_model: LoadedModel,
) -> None:
    model = of_family(tiny_model, "llama", max_position_embeddings=256)
    model.hf.lm_head.register_forward_hook(lambda module, args, logits: logits.clamp(max=0))  # many ties
    engine = Engine(model, replace(SETTINGS, mode="batched"), generates=False)
    letters = [sample_of("loglikelihood", ("abc", chr(code))) for code in range(33, 53)]
    expect_stock(engine, letters, CHAINS)
    answers = [engine.answer([(engine.open(one), CHAINS[:1])])[0][0] for one in letters]
    behind = [a for a in answers if a.gold_margin == 0 and not a.responses[0][1]]
    assert behind and all(answer.lead == 0 for answer in behind)
