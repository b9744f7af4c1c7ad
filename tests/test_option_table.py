"""Tables of options put together, and the base's hidden states that stand beside them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from test_compatibility import LONGROPE
from test_engine import generation, of_family, sample_of

from cola_search.chain import Chain
from cola_search.model.engine_settings import EngineSettings
from cola_search.model.loading import LoadedModel
from cola_search.objective.option_table import OptionTable, base_hidden, stacked
from cola_search.scoring import ModelScorer


class FakeTask:
    def __init__(self, kind: str) -> None:
        self.kind = kind


def one_item(name: str, *scores: float) -> OptionTable:
    golds = np.array([[True] + [False] * (len(scores) - 1)])
    table = OptionTable((Chain((0, 1)),), (name,), np.array([[scores]]), golds, np.full(golds.shape, 2.0))
    return replace(table, layer_executions=3.0)


def test_items_with_fewer_options_than_others_have_gaps_that_are_no_options() -> None:
    table = stacked([one_item("a", -1.0, -2.0), one_item("b", -3.0, -1.0, -2.0)])
    assert table.ids == ("a", "b") and table.layer_executions == 6.0 and table.hidden is None
    assert table.valid.tolist() == [[True, True, False], [True, True, True]]
    assert table.golds.dtype == bool and table.golds.sum() == 2
    assert table.sizes.tolist() == [[2, 2, 1], [2, 2, 2]]
    assert table.right.tolist() == [[True], [False]]


def last_state(model: LoadedModel, text: str) -> np.ndarray:
    """What the stock model's last layer returns for the last token of a text."""
    seen: list[Any] = []
    handle = model.hf.model.layers[-1].register_forward_hook(lambda module, args, output: seen.append(output))
    with torch.inference_mode():
        model.hf(torch.tensor([model.tokenizer.encode(text)]), use_cache=False)
    handle.remove()
    found: np.ndarray = seen[0][0, -1].numpy()
    return found


@pytest.mark.parametrize("length", [30, 40])
def test_a_prompt_has_the_state_that_stock_gives_it_alone_whatever_rotary_frequencies_its_options_have(
    tiny_model: LoadedModel, length: int
) -> None:
    sizes = {"max_position_embeddings": 128, "original_max_position_embeddings": 32}
    model = of_family(tiny_model, "phi3", rope_parameters=LONGROPE, **sizes)
    prompt = "abcdefghij" * (length // 10)
    sample = sample_of("loglikelihood", (prompt, "klm"), (prompt, "klmnop"))
    scorer = ModelScorer(model, FakeTask("multiple_choice"), EngineSettings(memory="50MB", mode="auto"))
    states = base_hidden(scorer, [sample])
    assert states is not None
    np.testing.assert_allclose(states[0], last_state(model, prompt), atol=1e-4)


def test_a_prompt_without_a_short_answer_has_a_state_too(tiny_model: LoadedModel) -> None:
    sample = generation(20, 4, target=None)
    scorer = ModelScorer(tiny_model, FakeTask("generate_until"), EngineSettings(memory="50MB"))
    states = base_hidden(scorer, [sample])
    assert states is not None
    np.testing.assert_allclose(states[0], last_state(tiny_model, "abcdefghij" * 2), atol=1e-4)
