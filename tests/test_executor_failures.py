"""What the executor's states are worth after a batch that failed: as much as before it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import tiny
from test_executor import BYTES, CHAINS, READS, SEQUENCES, expect_stock

from cola_search.errors import UserError
from cola_search.model.anatomy import Anatomy
from cola_search.model.compatibility import trial_failure
from cola_search.model.executor import Executor


def failing_at(call: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which is interrupted instead of its call of this number, and works again afterwards."""
    calls = iter(range(call + 1))

    def once(*args: Any, **kwargs: Any) -> Any:
        if next(calls, None) == call:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    return once


@pytest.mark.parametrize("keep_kv", [False, True])
@pytest.mark.parametrize(("where", "call"), [("run_layer", 0), ("run_layer", 3), ("write", 2), ("take", 3)])
def test_after_a_batch_that_failed_an_item_has_the_states_that_stock_has_and_no_row_is_lost(
    monkeypatch: pytest.MonkeyPatch, keep_kv: bool, where: str, call: int
) -> None:
    model = tiny("llama")
    executor = Executor(Anatomy(model), BYTES, samples_in_flight=2, keep_kv=keep_kv)
    items = [executor.open(SEQUENCES, READS), executor.open(SEQUENCES, READS)]
    held = executor.anatomy if where == "run_layer" else executor.kv_pool or executor.pool
    monkeypatch.setattr(held, where, failing_at(call, getattr(held, where)))
    with pytest.raises(KeyboardInterrupt):
        executor.run([(item, CHAINS) for item in items])
    for item in items:
        with torch.inference_mode():
            expect_stock(model, executor, item, CHAINS, executor.run([(item, CHAINS)])[0])
        executor.close(item)
    assert executor.pool.used_rows == 0
    assert executor.kv_pool is None or executor.kv_pool.used_rows == 0


def test_a_memory_too_small_for_the_trial_of_a_family_is_refused_with_what_is_enough() -> None:
    model = tiny("llama")
    with pytest.raises(UserError, match=r"engine\.memory is too small for a chain of 4 layers"):
        trial_failure(Executor(Anatomy(model), 14_000, keep_kv=True), model)
