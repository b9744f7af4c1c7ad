"""Reads of the head, counted by hand."""

import pytest

from cola_search import load_task
from cola_search.model.loading import LoadedModel
from cola_search.model.stock import Encoded, Stock
from cola_search.objective.head_cost import head_cost, head_layers, share_read


def test_rows_are_read_once_where_options_share_them() -> None:
    encoded = Encoded([[1, 2, 3], [1, 2, 3]], [[7, 8], [7, 9]], [])
    assert share_read(encoded) == 2 / 4


def test_a_generated_task_is_read_at_the_end_of_its_prompt() -> None:
    assert share_read(Encoded([[1, 2, 3, 4]], [[]], ["stop"], 16)) == 1 / 4


def test_the_head_of_the_model_is_counted_in_its_layers(tiny_model: LoadedModel) -> None:
    layer = sum(parameter.numel() for parameter in tiny_model.hf.model.layers[0].parameters())
    assert head_layers(tiny_model) == pytest.approx(tiny_model.hf.lm_head.weight.numel() / layer)


def test_the_cost_is_the_mean_over_the_samples(tiny_model: LoadedModel) -> None:
    stock, samples = Stock(tiny_model), load_task("arc_easy", limit=3)[:]
    alone = [head_cost(stock, [sample]) for sample in samples]
    assert head_cost(stock, samples) == pytest.approx(sum(alone) / 3) and min(alone) > 0
