"""Greedy generation for many chains against stock transformers."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from families import tiny
from transformers import PreTrainedModel

from cola_search.model.anatomy import Anatomy
from cola_search.model.decode import Decoder, generate, steps_of
from cola_search.model.executor import Executor
from cola_search.model.surgery import apply_chain

CHAINS = [(0, 1, 2, 3), (1, 2, 3), (0, 1, 2, 1, 2, 3), (0, 0, 3), (2, 3)]


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.inference_mode():
        yield


def ours(
    family: str | PreTrainedModel, prompts: list[list[int]], chains: list, new_tokens: int, stop=lambda c, t: False
) -> tuple:
    model = tiny(family) if isinstance(family, str) else family
    executor = Executor(Anatomy(model), 2_000_000, samples_in_flight=len(prompts), keep_kv=True)
    items = [executor.open([prompt], [[len(prompt) - 1]]) for prompt in prompts]
    finals = executor.run([(item, chains) for item in items])
    owners = [item for item in items for _ in chains]
    lengths = [len(prompt) for prompt in prompts for _ in chains]
    decoder = Decoder(executor, owners, chains * len(prompts), lengths, new_tokens)
    rows = torch.cat([row for some in finals for row in some])
    tokens, leads = generate(decoder, rows, stop, new_tokens)
    return model, tokens, leads


def stock(model, prompt: list[int], chain: tuple[int, ...], new_tokens: int) -> list[int]:
    with apply_chain(model, chain):
        tokens = list(prompt)
        for _ in range(new_tokens):
            tokens.append(int(model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax()))
    return tokens[len(prompt) :]


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2", "qwen3_moe", "mistral"])
def test_every_chain_generates_what_it_generates_alone_without_a_cache(family: str) -> None:
    prompt = [5, 6, 7, 8, 9, 10]
    model, tokens, _ = ours(family, [prompt], CHAINS, 6)
    assert tokens == [stock(model, prompt, chain, 6) for chain in CHAINS]


def test_prompts_of_different_length_ride_together() -> None:
    prompts = [[5, 6, 7, 8, 9, 10], [11, 12, 13]]
    model, tokens, _ = ours("gemma3_text", prompts, CHAINS, 6)
    assert tokens == [stock(model, prompt, chain, 6) for prompt in prompts for chain in CHAINS]


def test_what_a_chain_generates_does_not_depend_on_what_rides_along_to_the_last_bit_in_bfloat16_on_a_cpu() -> None:
    prompts = [list(range(5, 5 + n)) for n in (21, 3, 14, 40)]
    model = tiny("llama", intermediate_size=4864).to(torch.bfloat16)  # of so many a product of one row differs
    _, tokens, leads = ours(model, prompts, CHAINS, 8)
    alone = [ours(model, [prompt], [chain], 8)[1:] for prompt in prompts for chain in CHAINS]
    assert tokens == [some for (some,), _ in alone]
    assert leads.tolist() == [lead for _, (lead,) in alone]


def test_learned_positions_may_end_where_no_vector_of_keys_does() -> None:
    prompt = list(range(5, 23))
    model, tokens, _ = ours(tiny("gpt2", n_positions=21, max_position_embeddings=21), [prompt], CHAINS, 3)
    assert tokens == [stock(model, prompt, chain, 3) for chain in CHAINS]


def test_a_chain_that_is_done_leaves_and_the_others_go_on_unchanged() -> None:
    prompt = [5, 6, 7, 8]
    model, tokens, _ = ours("llama", [prompt], CHAINS, 6, stop=lambda c, generated: len(generated) > c)
    assert [len(t) for t in tokens] == [1, 2, 3, 4, 5]
    assert tokens == [stock(model, prompt, chain, 6)[: i + 1] for i, chain in enumerate(CHAINS)]


def test_chains_of_different_prompts_leave_in_any_order_and_the_others_go_on_unchanged() -> None:
    prompts = [[11, 12, 13], [5, 6, 7, 8, 9, 10], [20, 21]]
    ends = [5, 2, 6, 1, 3, 1, 6, 2, 5, 4, 2, 3, 1, 6, 6]
    model, tokens, _ = ours("gemma3_text", prompts, CHAINS, 6, stop=lambda c, generated: len(generated) == ends[c])
    alone = [stock(model, prompt, chain, 6) for prompt in prompts for chain in CHAINS]
    assert tokens == [some[:end] for some, end in zip(alone, ends, strict=True)]


def test_a_chain_that_leaves_behind_numbers_that_are_none_does_not_spoil_who_takes_its_place() -> None:
    prompts = [[5, 6, 7, 8, 9, 10], [11, 12, 13]]
    model = tiny("llama")
    executor = Executor(Anatomy(model), 2_000_000, samples_in_flight=2, keep_kv=True)
    items = [executor.open([prompt], [[len(prompt) - 1]]) for prompt in prompts]
    chain = (0, 1, 2, 3)
    rows = torch.cat([row for some in executor.run([(item, [chain]) for item in items]) for row in some])
    decoder = Decoder(executor, items, [chain, chain], [6, 3], 5)
    decoder.load_prompts()
    decoder.load_prompts = lambda: decoder.keys[decoder.slot_of[0, 0], :, :6].fill_(torch.nan)  # type: ignore[method-assign]
    tokens, _ = generate(decoder, rows, lambda c, generated: c == 0 and len(generated) == 2, 5)
    assert tokens[1] == stock(model, prompts[1], chain, 5)


def test_of_equally_likely_tokens_the_first_is_taken_as_stock_does() -> None:
    prompt, model = [5, 6, 7, 8], tiny("llama")
    model.lm_head.register_forward_hook(lambda module, args, logits: logits.round())  # as coarse as 16 bits are
    _, tokens, leads = ours(model, [prompt], CHAINS, 12)
    assert 0 in leads
    assert tokens == [stock(model, prompt, chain, 12) for chain in CHAINS]


def test_the_lead_is_the_smallest_gap_to_the_next_best_token() -> None:
    prompt = [5, 6, 7, 8]
    model, tokens, leads = ours("llama", [prompt], [(0, 1, 2, 3)], 2)
    with apply_chain(model, (0, 1, 2, 3)):
        logits = model(input_ids=torch.tensor([prompt + tokens[0][:1]]), use_cache=False).logits[0, -2:]
    top = logits.topk(2).values
    assert leads[0] == pytest.approx(float((top[:, 0] - top[:, 1]).min()), abs=1e-4)


def test_a_repetition_penalty_of_the_checkpoint_is_followed_as_generate_does() -> None:
    prompt, chain = [5, 6, 7, 8], (0, 1, 2, 3)
    model = tiny("llama")
    model.generation_config.repetition_penalty = 1.5
    executor = Executor(Anatomy(model), 2_000_000, keep_kv=True)
    item = executor.open([prompt], [[3]])
    rows = executor.run([(item, [chain])])[0][0]
    decoder = Decoder(executor, [item], [chain], [4], 8)
    tokens, _ = generate(decoder, rows, lambda c, generated: False, 8)
    wanted = model.generate(torch.tensor([prompt]), max_new_tokens=8, do_sample=False, eos_token_id=None)
    assert tokens[0] == wanted[0, 4:].tolist()


def test_slots_are_moved_in_place_to_any_order_and_few_at_once() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        slots, size = int(rng.integers(1, 40)), int(rng.integers(1, 9))
        source = rng.permutation(slots)[: rng.integers(1, slots + 1)]
        held = np.arange(slots)
        for here, there in steps_of(source, size):
            assert len(here) == len(there) <= 2 * size
            held[here] = held[there]
        assert held[: len(source)].tolist() == source.tolist()


def test_slots_that_stay_are_not_moved() -> None:
    assert list(steps_of(np.arange(9), 2)) == []


def test_no_more_rows_than_a_batch_has_are_copied_at_once_when_prompts_are_laid_out_and_when_slots_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompt, model, copied = [5, 6, 7, 8, 9, 10], tiny("llama"), []
    executor = Executor(Anatomy(model), 2_000_000, max_batch_tokens=20, keep_kv=True)
    item = executor.open([prompt], [[5]])
    rows = torch.cat(executor.run([(item, CHAINS)])[0])
    read, select = executor.kv_pool.read, torch.Tensor.index_select  # type: ignore[union-attr]

    def index_select(states, axis, index):
        if states.ndim == 4 and axis == 0:  # slots, in front of heads, columns and width
            copied.append(len(index) * states.shape[2])
        return select(states, axis, index)

    monkeypatch.setattr(executor.kv_pool, "read", lambda some: (copied.append(some.size), read(some))[1])
    monkeypatch.setattr(torch.Tensor, "index_select", index_select)
    decoder = Decoder(executor, [item] * len(CHAINS), CHAINS, [6] * len(CHAINS), 6)
    tokens, _ = generate(decoder, rows, lambda c, generated: len(generated) > c, 6)
    assert [len(t) for t in tokens] == [1, 2, 3, 4, 5]
    assert len(copied) > 7 and max(copied) <= 20
    monkeypatch.undo()
    assert tokens == [stock(model, prompt, chain, 6)[: i + 1] for i, chain in enumerate(CHAINS)]


def test_a_step_sends_the_device_its_tokens_and_columns_and_nothing_for_each_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executor = Executor(Anatomy(tiny("llama")), 2_000_000, keep_kv=True)
    item = executor.open([[5, 6, 7]], [[2]])
    executor.run([(item, CHAINS)])
    decoder = Decoder(executor, [item] * len(CHAINS), CHAINS, [3] * len(CHAINS), 2)
    decoder.load_prompts()
    real, sent = torch.from_numpy, []
    monkeypatch.setattr(torch, "from_numpy", lambda numbers: (sent.append(numbers), real(numbers))[1])
    decoder.step(np.full(len(CHAINS), 9), 0)
    assert len(decoder.stages) > 4 and len(sent) == 2
