"""What layers are handed for batches of chains and items."""

import numpy as np
import torch

from cola_search.model.batches import joined, pick, row_axis


def test_the_rows_of_an_argument_are_behind_the_batch_or_in_front() -> None:
    assert row_axis(torch.zeros(1, 5, 3), 5) == 1
    assert row_axis(torch.zeros(7, 5), 5) == 1
    assert row_axis(torch.zeros(5), 5) == row_axis(torch.zeros(5, 3), 5) == 0


def test_what_has_no_such_rows_has_no_axis_of_them() -> None:
    assert row_axis(torch.zeros(3, 1, 5), 5) is row_axis(torch.tensor(5), 5) is row_axis("five", 5) is None


def test_arguments_of_items_are_joined_row_by_row_and_picked_from() -> None:
    one, other = torch.arange(6).view(1, 3, 2), torch.arange(4).view(1, 2, 2)
    whole = joined((one, other), np.array([3, 2]))
    assert isinstance(whole, torch.Tensor) and whole.shape == (1, 5, 2)
    picked = pick({"table": whole, "scale": 0.5}, 5, torch.tensor([4, 0]))
    assert picked["table"].tolist() == [[[2, 3], [0, 1]]] and picked["scale"] == 0.5


def test_an_argument_without_rows_is_that_of_the_first_item() -> None:
    assert joined((False, False), np.array([3, 2])) is False
