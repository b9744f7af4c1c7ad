"""The engine against stock transformers, on tiny random models in float32."""

import itertools
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from families import FAMILIES, tiny
from transformers import PreTrainedModel

from cola_search.errors import UserError
from cola_search.model import batches as batches_module
from cola_search.model import executor as executor_module
from cola_search.model.anatomy import Anatomy
from cola_search.model.attention import Group
from cola_search.model.batches import Item
from cola_search.model.compatibility import stock_logits, stock_rows, trial_failure
from cola_search.model.decode import Decoder
from cola_search.model.executor import Executor

BYTES = 1_000_000
SEQUENCES = [[5, 6, 7, 8, 9, 10, 4], [5, 6, 7, 11, 12], [5, 6, 7, 8, 3]]
READS = [[2, 6], [4], [3, 4]]
CHAINS = [(0, 1, 2, 3), (0, 2, 3), (1, 2, 3), (0, 1, 1, 2, 3), (0, 1, 2, 1, 2, 3), (3,), (0, 1), (0, 1, 2, 3)]
SHORT = [9, 8, 7, 6, 5, 4]
NOT_MIXED = {"gemma2", "gpt_oss", "gptj"}  # whose attention is not torch's own; gptj's is since transformers 5.24
ONE_BY_ONE = {"bloom", "falcon_h1", "gpt_neo", "mpt", "qwen3_5_text", "qwen3_next"}


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return tiny("llama")


def expect_stock(model: PreTrainedModel, executor: Executor, item: Item, chains: list, finals: list) -> None:
    for chain, rows in zip(chains, finals, strict=True):
        torch.testing.assert_close(
            executor.anatomy.logits(rows), stock_rows(model, chain, item, SEQUENCES), atol=2e-4, rtol=1e-4
        )


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - ONE_BY_ONE))
def test_a_family_rides_with_packed_options_shared_prefixes_and_sliding_windows(family: str) -> None:
    model = tiny(family)
    executor = Executor(Anatomy(model), BYTES)
    item = executor.open(SEQUENCES, READS)
    expect_stock(model, executor, item, CHAINS, executor.run([(item, CHAINS)])[0])


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - ONE_BY_ONE))
def test_a_family_decodes_a_step_from_shared_prompt_keys_as_stock_does(family: str) -> None:
    model = tiny(family)
    assert trial_failure(Executor(Anatomy(model), BYTES, keep_kv=True), model) is None


def test_where_too_few_rows_are_wanted_those_before_them_are_read_too(llama: PreTrainedModel) -> None:
    executor = Executor(Anatomy(llama), BYTES)
    read = [
        executor.open(sequences, reads, least_reads=4).reads.tolist()
        for sequences, reads in (([SHORT], [[5]]), ([SHORT[:2]], [[1]]), (SEQUENCES, READS))
    ]
    item = executor.open(SEQUENCES, READS)
    assert read == [[2, 3, 4, 5], [0, 1], item.reads.tolist()]
    few = executor.open(SEQUENCES[:1], [[5]], least_reads=4)
    for chain, rows in zip(CHAINS, executor.run([(few, CHAINS)])[0], strict=True):
        wanted = stock_rows(llama, chain, few, SEQUENCES[:1])
        torch.testing.assert_close(executor.anatomy.logits(rows), wanted, atol=2e-4, rtol=1e-4)


def test_a_prefix_that_chains_share_is_run_once(llama: PreTrainedModel) -> None:
    executor = Executor(Anatomy(llama), BYTES)
    item = executor.open(SEQUENCES, READS)
    executor.run([(item, [(0, 1, 2, 3), (0, 1, 3), (0, 1, 2)])])
    assert item.layer_executions == 5  # 0, 1, 2 once, and two ends
    executor.run([(item, [(0, 1, 2, 2)])])
    assert item.layer_executions == 6


def test_all_final_rows_lie_in_one_tensor_so_that_they_do_not_break_up_the_heap(llama: PreTrainedModel) -> None:
    executor = Executor(Anatomy(llama), 100 * BYTES, samples_in_flight=2)  # all in one part
    items = [executor.open(SEQUENCES, READS), executor.open(SEQUENCES[:2], READS[:2])]
    finals = executor.run([(item, CHAINS) for item in items])
    assert len({rows.untyped_storage().data_ptr() for some in finals for rows in some}) == 1


def test_items_of_different_length_give_the_same_in_one_batch_as_alone(llama: PreTrainedModel) -> None:
    executor = Executor(Anatomy(llama), BYTES, samples_in_flight=2)
    work = [(executor.open(SEQUENCES, READS), CHAINS), (executor.open([[9, 8, 7, 6, 5, 4]], [[5]]), CHAINS[:3])]
    together = executor.run(work)
    for (_, chains), (item, finals) in zip(work, zip([w[0] for w in work], together, strict=True), strict=True):
        fresh = Executor(Anatomy(llama), BYTES)
        alone = fresh.open(SEQUENCES, READS) if item is work[0][0] else fresh.open([[9, 8, 7, 6, 5, 4]], [[5]])
        for ours, wanted in zip(finals, fresh.run([(alone, chains)])[0], strict=True):
            torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-5)


def two_items(executor: Executor) -> list[tuple[Item, list[tuple[int, ...]]]]:
    """Work on two items of unlike length, the shorter one with fewer chains."""
    return [(executor.open(SEQUENCES, READS), CHAINS), (executor.open([SHORT], [[5]]), CHAINS[:3])]


@pytest.mark.parametrize("keep_kv", [False, True])
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - ONE_BY_ONE))
def test_items_of_unlike_length_give_what_stock_does_in_one_batch_or_side_by_side(family: str, keep_kv: bool) -> None:
    model = tiny(family)
    executor = Executor(Anatomy(model), BYTES, samples_in_flight=2, keep_kv=keep_kv)
    assert executor.mixes or family in NOT_MIXED
    work = two_items(executor)
    long, short = executor.run(work)
    expect_stock(model, executor, work[0][0], CHAINS, long)
    for chain, rows in zip(CHAINS, short, strict=False):
        expected = stock_logits(model, chain, SHORT)[-1:]
        torch.testing.assert_close(executor.anatomy.logits(rows), expected, atol=2e-4, rtol=1e-4)


def test_items_of_unlike_length_share_layer_calls_without_a_padded_row(
    llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Executor(Anatomy(llama), BYTES, samples_in_flight=2)
    work = two_items(executor)
    real, real_attend, shapes, seen = executor.anatomy.run_layer, Group.attend, [], set()

    def run_layer(layer, hidden, *rest):
        shapes.append(hidden.shape[:2])
        return real(layer, hidden, *rest)

    def attend(group, *rest, **more):
        seen.add(tuple(group.mask.shape[2:]))
        return real_attend(group, *rest, **more)

    monkeypatch.setattr(executor.anatomy, "run_layer", run_layer)
    monkeypatch.setattr(Group, "attend", attend)
    executor.run([(item, [(0, 1, 2)]) for item, _ in work])
    sizes = [item.size for item, _ in work]
    rows, reads = np.sum(sizes, axis=0).tolist()
    assert shapes == [(1, rows), (1, rows), (1, rows - reads), (1, reads)]
    assert seen == {(n, n) for n, _ in sizes} | {(r, n) for n, r in sizes}


def test_a_family_whose_attention_mixes_up_sequences_is_found_out_and_its_items_share_no_batch(
    llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plain(groups, queries, keys, device):
        return torch.ones(1, 1, queries, keys, dtype=torch.bool, device=device)

    monkeypatch.setattr(batches_module, "ragged_mask", plain)
    executor = Executor(Anatomy(llama), BYTES, samples_in_flight=2)
    assert trial_failure(executor, llama) is None
    assert not executor.mixes
    work = two_items(executor)
    expect_stock(llama, executor, work[0][0], CHAINS, executor.run(work)[0])


def test_a_tight_memory_gives_the_same_states_and_is_never_exceeded(llama: PreTrainedModel) -> None:
    row = 32 * 4
    executor = Executor(Anatomy(llama), num_bytes=row * 10 * 4)  # room for four states of 10 rows
    item = executor.open(SEQUENCES, READS)
    chains = [c for r in range(1, 5) for c in itertools.combinations(range(4), r)]
    expect_stock(llama, executor, item, chains, executor.run([(item, chains)])[0])
    assert executor.pool.peak_rows <= 40
    assert executor.pool.data.nbytes <= row * (10 * 4 + 1)


@pytest.mark.parametrize("states", [4, 7, 12])
def test_waves_in_a_tight_memory_have_the_rows_that_they_have_in_a_large_one(
    llama: PreTrainedModel, states: int
) -> None:
    tight, roomy = Executor(Anatomy(llama), num_bytes=32 * 4 * 10 * states), Executor(Anatomy(llama), BYTES)
    items = tight.open(SEQUENCES, READS), roomy.open(SEQUENCES, READS)
    rng = np.random.default_rng(0)
    for _ in range(40):  # an end that is kept behind a prefix that no longer is, among others
        drawn = [tuple(rng.integers(0, 4, rng.integers(1, 6)).tolist()) for _ in range(8)]
        ours, wanted = (executor.run([(item, drawn)])[0] for executor, item in zip((tight, roomy), items, strict=True))
        torch.testing.assert_close(torch.stack(ours), torch.stack(wanted), atol=1e-5, rtol=1e-5)


def test_a_memory_too_small_for_the_prompt_is_refused_with_the_key_to_change(llama: PreTrainedModel) -> None:
    executor = Executor(Anatomy(llama), num_bytes=32 * 4 * 10)
    with pytest.raises(UserError, match=r"engine\.memory is too small for a prompt of 10 tokens: give it at least 1MB"):
        executor.open(SEQUENCES, READS)


def named_bytes(error: pytest.ExceptionInfo) -> int:
    return int(str(error.value).split("at least ")[1].removesuffix("MB.")) * 10**6


def test_the_memory_that_a_refusal_names_is_enough_where_keys_and_values_are_kept() -> None:
    model, prompt = tiny("llama", max_position_embeddings=2048), list(range(5, 55)) * 40
    with pytest.raises(UserError) as error:
        Executor(Anatomy(model), 1000, samples_in_flight=2, keep_kv=True).open([prompt], [[len(prompt) - 1]])
    executor = Executor(Anatomy(model), named_bytes(error), samples_in_flight=2, keep_kv=True)
    assert executor.open([prompt], [[len(prompt) - 1]]).num_rows == len(prompt)


def test_a_chain_whose_generation_is_beyond_the_whole_memory_is_refused_with_what_is_enough(
    llama: PreTrainedModel,
) -> None:
    long, memory = (0, 1, 2, 3) * 25, 100_000
    for in_flight in (1, 2):
        executor = Executor(Anatomy(llama), memory, in_flight, keep_kv=True)
        items = [executor.open([list(range(5 + i, 15 + i))], [[9]]) for i in range(in_flight)]
        most = (executor.pool.capacity - 10 * in_flight) // 10 + 1  # every state but the last, beside the roots
        executor.run([(items[0], [long[:most]])])
        with pytest.raises(
            UserError, match=f"chain of {most + 1} layers that generates after a prompt of 10 "
        ) as error:
            executor.parts([(items[0], [long[: most + 1]])], 2)
    executor = Executor(Anatomy(llama), named_bytes(error), keep_kv=True)
    assert len(executor.run([(executor.open([list(range(5, 15))], [[9]]), [long])])[0]) == 1


def test_an_item_that_takes_more_than_its_share_has_the_others_drop_their_states(llama: PreTrainedModel) -> None:
    executor = Executor(Anatomy(llama), 120_000, samples_in_flight=2, keep_kv=True)
    one, other = executor.open([list(range(5, 15))], [[9]]), executor.open([list(range(15, 25))], [[9]])
    rng = np.random.default_rng(0)
    chains = [tuple(rng.integers(0, 4, 4).tolist()) for _ in range(12)]

    def run_one_by_one() -> Iterator[torch.Tensor]:
        for chain in chains:
            yield executor.run([(other, [chain])])[0][0]
            other.prefixes.release()

    before = list(run_one_by_one())
    long = (0, 1, 2, 3) * 5
    states = executor.run([(one, [long])])[0][0]
    torch.testing.assert_close(executor.anatomy.logits(states), stock_logits(llama, long, list(range(5, 15)))[-1:])
    one.prefixes.release()
    for ours, wanted in zip(run_one_by_one(), before, strict=True):
        torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-5)


def test_items_whose_generation_needs_more_than_their_share_are_in_parts_that_fit(llama: PreTrainedModel) -> None:
    executor = Executor(Anatomy(llama), BYTES, samples_in_flight=4, keep_kv=True)
    items = [executor.open([[5, 6, 7, 8, 9, 10]], [[5]]) for _ in range(4)]
    chain = (0, 1, 2, 3)
    new_tokens = int(1.5 * executor.slot_quota / 4)  # the slots of a chain take one and a half shares
    parts = executor.parts([(item, [chain, chain]) for item in items], new_tokens)
    assert [sorted(part) for part in parts] == [[0, 1], [0, 1], [2, 3], [2, 3]]
    assert all(chains == [chain] for part in parts for chains in part.values())


def test_a_generation_that_needs_more_than_the_memory_runs_alone(llama: PreTrainedModel) -> None:
    executor = Executor(Anatomy(llama), BYTES, samples_in_flight=2, keep_kv=True)
    items = [executor.open([[5, 6, 7]], [[2]]) for _ in range(2)]
    parts = executor.parts([(item, [(0, 1)]) for item in items], 10**6)
    assert parts == [{0: [(0, 1)]}, {1: [(0, 1)]}]


@pytest.mark.parametrize("in_flight", [1, 3])
def test_kept_states_and_the_slots_of_a_generation_stay_within_the_memory_together(
    llama: PreTrainedModel, in_flight: int
) -> None:
    executor = Executor(Anatomy(llama), BYTES, samples_in_flight=in_flight, keep_kv=True)
    assert executor.kv_pool is not None
    pools = executor.pool.data.nbytes + executor.kv_pool.data.nbytes
    items = [executor.open([list(range(5, 25 - i))], [[19 - i]]) for i in range(in_flight)]
    rng, slots = np.random.default_rng(0), []
    for _ in range(3):  # waves, that the kept states fill their share
        work = [(item, [tuple(rng.integers(0, 4, 6).tolist()) for _ in range(40)]) for item in items]
        for part in executor.parts(work, 60):
            executor.run_part([(items[k], chains) for k, chains in part.items()])
            owners = [k for k, chains in part.items() for _ in chains]
            chains = [chain for some in part.values() for chain in some]
            decoder = Decoder(executor, [items[k] for k in owners], chains, [20 - k for k in owners], 60)
            decoder.load_prompts()
            slots.append(decoder.keys.nbytes + decoder.values.nbytes)
            for item in items:
                item.prefixes.release()
    one_row = executor.pool.row_bytes + executor.kv_pool.row_bytes  # of zeros, in front of what is kept
    assert executor.pool.used_rows > 0.8 * executor.pool.capacity
    assert max(slots) > BYTES / 4 and pools + max(slots) <= BYTES + one_row


def test_after_a_generation_an_item_is_back_within_its_share(llama: PreTrainedModel) -> None:
    executor = Executor(Anatomy(llama), 2 * BYTES, samples_in_flight=24, keep_kv=True)
    item = executor.open([list(range(5, 40))], [[34]])
    executor.run([(item, [(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3)])])
    assert executor.pool.used_rows > executor.quota or executor.kv_pool.used_rows > executor.quota
    item.prefixes.release()
    assert executor.pool.used_rows <= executor.quota
    assert executor.kv_pool.used_rows <= executor.quota


def test_closing_an_item_frees_its_memory(llama: PreTrainedModel) -> None:
    executor = Executor(Anatomy(llama), BYTES, keep_kv=True)
    item = executor.open([[5, 6, 7]], [[2]])
    executor.run([(item, CHAINS)])
    executor.close(item)
    assert executor.pool.used_rows == 0
    assert executor.kv_pool is not None and executor.kv_pool.used_rows == 0


def test_a_batch_holds_at_most_max_batch_tokens_rows(llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = Executor(Anatomy(llama), BYTES, max_batch_tokens=20)
    sizes = []
    real = executor.anatomy.run_layer
    monkeypatch.setattr(
        executor.anatomy,
        "run_layer",
        lambda layer, h, *rest: (sizes.append(h.shape[0] * h.shape[1]), real(layer, h, *rest))[1],
    )
    item = executor.open(SEQUENCES, READS)
    executor.run([(item, CHAINS)])
    assert max(sizes) <= 20


def test_a_batch_that_does_not_fit_memory_is_halved_and_the_size_remembered(
    llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Executor(Anatomy(llama), BYTES)
    item = executor.open(SEQUENCES, READS)
    real, sizes = executor.anatomy.run_layer, []

    def run_layer(layer, hidden, *rest):
        sizes.append(len(hidden))
        if len(hidden) > 2:
            raise torch.OutOfMemoryError("no room")
        return real(layer, hidden, *rest)

    monkeypatch.setattr(executor.anatomy, "run_layer", run_layer)
    expect_stock(llama, executor, item, CHAINS, executor.run([(item, CHAINS)])[0])
    assert executor.max_batch_tokens <= 20
    sizes.clear()
    executor.run([(item, [(2, 0), (2, 1), (2, 3), (2, 2)])])
    assert max(sizes) <= 2


def test_nothing_of_a_batch_that_did_not_fit_is_held_while_its_halves_run(
    llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Executor(Anatomy(llama), BYTES)
    item = executor.open(SEQUENCES, READS)
    real, lost = executor.anatomy.run_layer, []

    def run_layer(layer, hidden, *rest):
        if not lost and len(hidden) > 1:
            lost.append(weakref.ref(hidden))
            raise torch.OutOfMemoryError("no room")
        assert not lost or lost[0]() is None
        return real(layer, hidden, *rest)

    monkeypatch.setattr(executor.anatomy, "run_layer", run_layer)
    executor.run([(item, CHAINS)])
    assert lost


@pytest.mark.parametrize("keep_kv", [False, True])
def test_memory_that_ends_while_states_are_stored_costs_a_second_try_and_nothing_else(
    llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch, keep_kv: bool
) -> None:
    executor = Executor(Anatomy(llama), BYTES, keep_kv=keep_kv)
    item = executor.open(SEQUENCES, READS)
    real, calls = executor_module.as_rows, itertools.count()

    def as_rows(values, *rest):
        if values.flatten(0, -2).shape[0] > item.num_rows and next(calls) < 3:
            raise torch.OutOfMemoryError("no room")
        return real(values, *rest)

    monkeypatch.setattr(executor_module, "as_rows", as_rows)
    expect_stock(llama, executor, item, CHAINS, executor.run([(item, CHAINS)])[0])
    assert next(calls) > 0
    executor.close(item)
    assert executor.pool.used_rows == 0


def test_waves_of_a_generation_stay_within_a_tight_memory(llama: PreTrainedModel) -> None:
    executor = Executor(Anatomy(llama), num_bytes=120_000, keep_kv=True)
    item = executor.open([list(range(5, 15))], [[9]])
    rng = np.random.default_rng(0)
    for _ in range(40):
        drawn = [tuple(rng.integers(0, 4, rng.integers(1, 6)).tolist()) for _ in range(8)]
        for part in executor.parts([(item, drawn)], 2):
            executor.run([(item, part[0])])
            item.prefixes.release()
    assert executor.kv_pool is not None and executor.kv_pool.peak_rows <= executor.kv_pool.capacity


@pytest.mark.parametrize("memory", [80_000, 180_000])
def test_waves_of_a_generation_in_a_tight_memory_have_all_their_keys_and_the_rows_of_a_large_one(
    llama: PreTrainedModel, memory: int
) -> None:
    executors = [Executor(Anatomy(llama), size, samples_in_flight=2, keep_kv=True) for size in (memory, 10 * BYTES)]
    items = [[e.open([list(range(start, start + 10))], [[3, 9]]) for start in (5, 30)] for e in executors]
    rng = np.random.default_rng(0)
    for _ in range(40):
        drawn = [[tuple(rng.integers(0, 4, rng.integers(1, 6)).tolist()) for _ in range(3)] for _ in range(2)]
        ours, wanted = (generated(*pair, drawn) for pair in zip(executors, items, strict=True))
        torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-5)


def generated(executor: Executor, items: list[Item], chains: list[list[tuple[int, ...]]]) -> list[torch.Tensor]:
    """The final rows of each item's chains, where every prefix of a running part has its keys and values."""
    found: list[list[torch.Tensor]] = [[] for _ in items]
    for part in executor.parts(list(zip(items, chains, strict=True)), 2):
        for slot, rows in zip(part, executor.run_part([(items[k], some) for k, some in part.items()]), strict=True):
            found[slot] += rows
        for item in items:
            assert all(node.kv_rows is not None for node in item.prefixes.pinned)
            item.prefixes.release()
    return [torch.stack(rows) for rows in found]


def test_the_model_is_untouched_by_the_engine(llama: PreTrainedModel) -> None:
    before = stock_logits(llama, (0, 1, 2, 3), SEQUENCES[0])
    executor = Executor(Anatomy(llama), BYTES)
    executor.run([(executor.open(SEQUENCES, READS), CHAINS)])
    assert torch.equal(before, stock_logits(llama, (0, 1, 2, 3), SEQUENCES[0]))


@pytest.mark.parametrize("family", ["bloom", "qwen3_next"])
def test_a_family_that_cannot_ride_is_found_out(family: str) -> None:
    model = tiny(family)
    try:
        reason = trial_failure(Executor(Anatomy(model), BYTES), model)
    except Exception as error:
        reason = str(error)
    assert reason
